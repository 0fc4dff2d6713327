// One get of UCX's own between two of its workers: no blocks, no messages, nothing of path ucx.
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "base/scope_exit.hpp"
#include "bench/network_reference.hpp"
#include "bench/session.hpp"
#include "bench/suite.hpp"
#include "kvferry/error.hpp"
#include "kvferry/pool.hpp"
#include "path/ucx/bind_device.hpp"
#include "path/ucx/engine.hpp"
#include "path/ucx/ucp_library.hpp"

namespace kvferry::cli::bench {
namespace {

using path::ucx::UcpLibrary;

void check(const UcpLibrary& ucp, ucs_status_t status, const char* what) {
  if (status == UCS_OK) return;
  throw Error(ErrorCode::resource,
              fmt::format("the reference of path ucx: {}: {}", what, ucp.text_of(status)));
}

// A context and its worker; one thread at a time.
class Worker {
 public:
  explicit Worker(const std::string& transports) : ucp_(UcpLibrary::get_loaded()) {
    ucp_config_t* config = nullptr;
    check(ucp_, ucp_.config_read(nullptr, nullptr, &config), "ucp_config_read");
    const auto set = ucp_.config_modify(config, "TLS", transports.c_str());
    ucp_params_t params{};
    params.field_mask = UCP_PARAM_FIELD_FEATURES;
    params.features = UCP_FEATURE_RMA;
    const auto made =
        set == UCS_OK ? ucp_.init_version(UCP_API_MAJOR, UCP_API_MINOR, &params, config, &context_)
                      : set;
    ucp_.config_release(config);
    check(ucp_, made, "ucp_init");
    ucp_worker_params_t worker{};
    worker.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
    worker.thread_mode = UCS_THREAD_MODE_SERIALIZED;
    if (const auto status = ucp_.worker_create(context_, &worker, &worker_); status != UCS_OK) {
      ucp_.cleanup(context_);
      check(ucp_, status, "ucp_worker_create");
    }
  }
  ~Worker() {
    unmap();
    if (endpoint_ != nullptr) close_endpoint();
    ucp_.worker_destroy(worker_);
    ucp_.cleanup(context_);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void progress() { ucp_.worker_progress(worker_); }

  void map(void* address, std::uint64_t bytes, Device device) {
    path::ucx::bind_device(device);
    ucp_mem_map_params_t params{};
    params.field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH |
                        UCP_MEM_MAP_PARAM_FIELD_MEMORY_TYPE;
    params.address = address;
    params.length = bytes;
    params.memory_type = device.is_cuda() ? UCS_MEMORY_TYPE_CUDA : UCS_MEMORY_TYPE_HOST;
    check(ucp_, ucp_.mem_map(context_, &params, &memory_), "ucp_mem_map");
  }
  void unmap() noexcept {
    if (key_ != nullptr) ucp_.rkey_destroy(key_);
    if (memory_ != nullptr) ucp_.mem_unmap(context_, memory_);
    key_ = nullptr;
    memory_ = nullptr;
  }

  // What `owner` has mapped is reached from here from now on.
  void reach(Worker& owner) {
    if (endpoint_ == nullptr) connect(owner);
    void* packed = nullptr;
    std::size_t bytes = 0;
    check(ucp_, ucp_.rkey_pack(owner.context_, owner.memory_, &packed, &bytes), "ucp_rkey_pack");
    const auto status = ucp_.ep_rkey_unpack(endpoint_, packed, &key_);
    ucp_.rkey_buffer_release(packed);
    check(ucp_, status, "ucp_ep_rkey_unpack");
  }

  void get(void* to, std::uint64_t from, std::uint64_t bytes) {
    ucp_request_param_t params{};
    params.op_attr_mask =
        UCP_OP_ATTR_FIELD_MEMH | UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
    params.memh = memory_;
    struct End {
      bool come = false;
      ucs_status_t status = UCS_OK;
    } end;
    params.user_data = &end;
    params.cb.send = [](void*, ucs_status_t status, void* at) {
      *static_cast<End*>(at) = {true, status};
    };
    const ucs_status_ptr_t request = ucp_.get(endpoint_, to, bytes, from, key_, &params);
    if (UCS_PTR_IS_ERR(request)) check(ucp_, UCS_PTR_STATUS(request), "ucp_get_nbx");
    if (request == nullptr) return;
    while (!end.come) progress();
    ucp_.request_free(request);
    check(ucp_, end.status, "ucp_get_nbx");
  }

 private:
  void connect(Worker& owner) {
    ucp_address_t* address = nullptr;
    std::size_t bytes = 0;
    check(ucp_, ucp_.worker_get_address(owner.worker_, &address, &bytes), "ucp_worker_get_address");
    ucp_ep_params_t params{};
    params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE;
    params.address = address;
    // As path ucx does: it decides which transports there are.
    params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
    const auto status = ucp_.ep_create(worker_, &params, &endpoint_);
    ucp_.worker_release_address(owner.worker_, address);
    check(ucp_, status, "ucp_ep_create");
  }
  void close_endpoint() noexcept {
    bool closed = false;
    ucp_request_param_t params{};
    params.op_attr_mask =
        UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
    params.flags = UCP_EP_CLOSE_FLAG_FORCE;
    params.user_data = &closed;
    params.cb.send = [](void*, ucs_status_t, void* at) { *static_cast<bool*>(at) = true; };
    const ucs_status_ptr_t request = ucp_.ep_close(endpoint_, &params);
    if (request == nullptr || UCS_PTR_IS_ERR(request)) return;
    while (!closed) progress();
    ucp_.request_free(request);
  }

  const UcpLibrary& ucp_;
  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  ucp_mem_h memory_ = nullptr;
  ucp_ep_h endpoint_ = nullptr;  // towards another worker
  ucp_rkey_h key_ = nullptr;     // of its memory
};

class UcxReference final : public Reference {
 public:
  explicit UcxReference(const UcxEnds& ends)
      : ends_(ends), owner_(transports()), asker_(transports()) {
    thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
  }
  ~UcxReference() override {
    thread_.request_stop();
    ++round_;
    round_.notify_one();
    thread_.join();
  }

  std::vector<ReferenceWay> ways(std::uint64_t bytes) override {
    if (bytes > bytes_) grow(bytes);
    return {{"one contiguous get by UCX", [this, bytes] { return get(bytes); }}};
  }

 private:
  std::string transports() const {
    return ends_.transports.empty() ? std::string(path::ucx::kRdmaTransports) : ends_.transports;
  }

  // Software transports need the owner's hands; one that sleeps would be waited for.
  void serve(const std::stop_token& stop) {
    if (const Device device = device_from(ends_.from); device.is_cuda()) {
      path::ucx::bind_device(device);
    }
    for (unsigned even = 0;; even += 2) {
      round_.wait(even);
      if (stop.stop_requested()) return;
      while (round_ == even + 1) owner_.progress();
      served_ = even + 2;
      served_.notify_one();
    }
  }

  void grow(std::uint64_t bytes) {
    owner_.unmap();
    asker_.unmap();
    pools_.clear();
    bytes_ = 0;
    constexpr std::uint64_t kPiece = 1 << 20;
    const auto blocks = static_cast<std::uint32_t>((bytes + kPiece - 1) / kPiece);
    Worker* const workers[] = {&owner_, &asker_};
    const std::string* const devices[] = {&ends_.from, &ends_.to};
    for (int i = 0; i < 2; ++i) {
      const Device device = device_from(*devices[i]);
      pools_.push_back(Pool::allocate(device, shape_for(kPiece, 1), blocks));
      workers[i]->map(pools_.back().layer(0), blocks * kPiece, device);
    }
    asker_.reach(owner_);
    bytes_ = bytes;
  }

  double get(std::uint64_t bytes) {
    const auto start = std::chrono::steady_clock::now();
    ++round_;
    round_.notify_one();
    const ScopeExit ended([this] {
      const unsigned even = ++round_;
      served_.wait(even - 2);  // until the owner's worker is ours again
    });
    asker_.get(pools_[1].layer(0), reinterpret_cast<std::uintptr_t>(pools_[0].layer(0)), bytes);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  const UcxEnds ends_;
  std::vector<Pool> pools_;
  std::uint64_t bytes_ = 0;
  Worker owner_, asker_;            // behind the pools: these are unmapped before they go
  std::atomic<unsigned> round_{0};  // odd: a get is under way
  std::atomic<unsigned> served_{0};
  std::jthread thread_;
};

}  // namespace

std::unique_ptr<Reference> make_ucx_reference(const UcxEnds& ends) {
  return std::make_unique<UcxReference>(ends);
}

}  // namespace kvferry::cli::bench
