#include "capi/convert.hpp"
#include "capi/sized.hpp"

namespace kvferry::capi {
namespace {

static_assert(static_cast<int>(Direction::pull) == KVFERRY_PULL);
static_assert(static_cast<int>(Direction::push) == KVFERRY_PUSH);
static_assert(static_cast<int>(CopyMethod::automatic) == KVFERRY_COPY_AUTO);
static_assert(static_cast<int>(CopyMethod::kernel) == KVFERRY_COPY_KERNEL);
static_assert(static_cast<int>(CopyMethod::engine) == KVFERRY_COPY_ENGINE);
static_assert(static_cast<int>(TransferState::running) == KVFERRY_STATE_RUNNING);
static_assert(static_cast<int>(TransferState::done) == KVFERRY_STATE_DONE);
static_assert(static_cast<int>(TransferState::failed) == KVFERRY_STATE_FAILED);
static_assert(static_cast<int>(TransferState::cancelled) == KVFERRY_STATE_CANCELLED);
static_assert(static_cast<int>(TransferState::deadline) == KVFERRY_STATE_DEADLINE);
static_assert(static_cast<int>(TransferState::peer_died) == KVFERRY_STATE_PEER_DIED);

CopyMethod to_copy_method(std::int32_t copy) {
  if (copy < KVFERRY_COPY_AUTO || copy > KVFERRY_COPY_ENGINE)
    refuse("copy " + std::to_string(copy) +
           ": it is KVFERRY_COPY_AUTO (0), _KERNEL (1) or _ENGINE (2)");
  return static_cast<CopyMethod>(copy);
}

kvferry_report describe(const TransferReport& report) {
  return {.struct_size = 0,
          .path = report.path.c_str(),
          .method = report.method.c_str(),
          .bytes = report.bytes,
          .blocks = report.blocks,
          .layers = report.layers,
          .pieces = report.pieces,
          .post_s = report.post_s,
          .move_s = report.move_s,
          .sync_s = report.sync_s,
          .total_s = report.total_s};
}

}  // namespace

TransferOptions to_transfer_options(const kvferry_transfer_options* options) {
  const kvferry_transfer_options given = read_options(options, "transfer_options");
  check_reserved(given.reserved, "transfer_options");
  if (given.deadline_ns < 0)
    refuse("deadline_ns " + std::to_string(given.deadline_ns) +
           ": it counts from the call, and 0 means none");
  if (given.use_stream == 0 && given.stream != nullptr)
    refuse("stream is set and use_stream is not: set both, or neither");
  TransferOptions to;
  to.layers = {given.layer_begin, given.layer_end == 0 ? UINT32_MAX : given.layer_end};
  if (given.use_stream != 0) to.stream = CudaStream{given.stream};
  if (given.deadline_ns != 0) to.deadline = std::chrono::nanoseconds(given.deadline_ns);
  if (given.notice != nullptr) to.notice = given.notice;
  to.remote_pool = text_or(given.remote_pool, "");
  to.path = text_or(given.path, "auto");
  to.allow_slow = given.allow_slow != 0;
  to.copy = to_copy_method(given.copy);
  to.max_sms = given.max_sms;
  to.tag = given.tag;
  to.notify_completion = given.notify_completion != 0;
  return to;
}

}  // namespace kvferry::capi

using namespace kvferry::capi;

extern "C" {

kvferry_code kvferry_transfer_poll(const kvferry_transfer* transfer, int32_t* state,
                                   kvferry_error** error) {
  return produce(state, "state", error, [&] {
    return static_cast<std::int32_t>(need(transfer, "transfer").transfer.poll());
  });
}

kvferry_code kvferry_transfer_wait(const kvferry_transfer* transfer, kvferry_error** error) {
  return guard(error, [&] { need(transfer, "transfer").transfer.wait(); });
}

kvferry_code kvferry_transfer_wait_for(const kvferry_transfer* transfer, int64_t timeout_ns,
                                       int32_t* state, kvferry_error** error) {
  return produce(state, "state", error, [&] {
    const kvferry::Transfer& waited_for = need(transfer, "transfer").transfer;
    waited_for.wait_for(to_timeout(timeout_ns));
    return static_cast<std::int32_t>(waited_for.poll());
  });
}

kvferry_code kvferry_transfer_notify_completion(const kvferry_transfer* transfer, uint64_t tag,
                                                int32_t* pending, kvferry_error** error) {
  return guard(error, [&] {
    if (pending != nullptr) *pending = 0;
    const bool will_come = need(transfer, "transfer").transfer.notify_completion(tag);
    if (pending != nullptr) *pending = will_come ? 1 : 0;
  });
}

void kvferry_transfer_cancel(const kvferry_transfer* transfer) {
  if (transfer != nullptr) transfer->transfer.cancel();
}

kvferry_code kvferry_transfer_get_report(const kvferry_transfer* transfer, kvferry_report* report,
                                         kvferry_error** error) {
  return guard(error, [&] {
    write_sized(describe(need(transfer, "transfer").transfer.report()), report, "report");
  });
}

const char* kvferry_transfer_error(const kvferry_transfer* transfer) {
  const char* message = nullptr;
  guard(nullptr, [&] { message = need(transfer, "transfer").transfer.error().c_str(); });
  return message;
}

kvferry_code kvferry_transfer_status_word(const kvferry_transfer* transfer,
                                          const volatile uint32_t** word, kvferry_error** error) {
  return produce(word, "word", error,
                 [&] { return need(transfer, "transfer").transfer.status_word(); });
}

void kvferry_transfer_free(kvferry_transfer* transfer) { delete transfer; }

}  // extern "C"
