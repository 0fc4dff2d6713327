#include "path/tcp/tcp_route.hpp"

#include <fmt/format.h>

#include "path/plain_prepared.hpp"
#include "path/tcp/tcp_job.hpp"

namespace kvferry::path::tcp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kOpenTime = std::chrono::seconds(5);
// Not the address of anything, and not process 0: what a plan takes for this process's memory.
constexpr std::uint64_t kNowhere = ~std::uint64_t{0};

// The blocks of one side of a plan, neighbours merged.
std::vector<IdRun> ids_of(const plan::Plan& plan, bool source) {
  std::vector<IdRun> ids;
  ids.reserve(plan.runs.size());
  for (const plan::Run& run : plan.runs) {
    const std::uint32_t first = source ? run.src : run.dst;
    if (!ids.empty() && ids.back().first + ids.back().count == first)
      ids.back().count += run.count;
    else
      ids.push_back({first, run.count});
  }
  return ids;
}

plan::BlockMap map_of(const RemoteEnd& remote, std::uint32_t parts) {
  plan::BlockMap map;
  map.parts = parts;
  map.row_bytes = remote.shape.block_bytes() / parts;
  map.block_stride = map.row_bytes;
  map.blocks = remote.blocks;
  map.plane_base.assign(std::size_t{remote.shape.layers} * parts, 0);
  map.address_space = kNowhere;
  return map;
}

}  // namespace

TcpRoute::TcpRoute(std::shared_ptr<detail::PoolImpl> local, RemoteEnd remote)
    : local_(std::move(local)),
      remote_(std::move(remote)),
      local_map_(local_->block_map()),
      remote_map_(map_of(remote_, local_map_.parts)) {
  // One shows that streams can be had; a transfer opens as many as it wants.
  remote_.data->ensure_streams(1, std::min(remote_.until, Clock::now() + kOpenTime));
}

void TcpRoute::check(const JobOptions& options) const {
  if (options.stream)
    throw Error(ErrorCode::invalid_argument,
                "stream: path tcp cannot order a transfer after work of a CUDA stream, since the "
                "peer moves half of it; synchronise the stream first, or use cuda_ipc");
  if (options.copy == CopyMethod::engine)
    throw Error(ErrorCode::invalid_argument,
                "copy (--copy engine): path tcp packs GPU blocks with a kernel, or moves host "
                "memory; use auto");
  if (options.copy == CopyMethod::kernel && !local_->device.is_cuda())
    throw Error(ErrorCode::invalid_argument,
                "copy (--copy kernel): the local pool is in host memory; use auto");
  if (options.direction == Direction::push && !remote_.writable)
    throw Error(ErrorCode::refused,
                "push: the remote pool is not writable; its owner must create it writable");
  if (options.streams > wire::kMaxStreams)
    throw Error(ErrorCode::invalid_argument, fmt::format("streams (--streams) {}: at most {}",
                                                         options.streams, wire::kMaxStreams));
}

LaidOut TcpRoute::lay_out(const plan::Plan& plan, const JobOptions& options) const {
  const bool pull = options.direction == Direction::pull;
  LaidOut out;
  out.first_layer = options.layers.begin;
  out.layers = plan.planes / local_map_.parts;
  out.remote = ids_of(plan, pull);
  if (out.remote.size() > wire::kMaxRuns)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("the list has {} separate pieces at the peer; one transfer over tcp "
                            "takes at most {}: make several transfers of it",
                            out.remote.size(), wire::kMaxRuns));
  out.rows = std::make_shared<const PackedRows>(
      layout_of(local_map_, out.first_layer, out.first_layer + out.layers), ids_of(plan, !pull));
  return out;
}

std::shared_ptr<Job> TcpRoute::start(const LaidOut& laid_out, const JobOptions& options,
                                     std::shared_ptr<JobObserver> observer) {
  // Streams that broke under an earlier transfer are opened anew.
  auto until = Clock::now() + kOpenTime;
  if (options.deadline) until = std::min(until, *options.deadline);
  const unsigned wanted = options.streams != 0 ? options.streams : remote_.data->setup().streams;
  const unsigned have = remote_.data->ensure_streams(wanted, until);
  TcpJob::Setup setup;
  setup.link = remote_.data;
  setup.local = local_;
  setup.pool = remote_.offer.pool;
  setup.generation = remote_.offer.generation;
  setup.options = options;
  setup.options.streams = std::min(wanted, have);
  return TcpJob::start(laid_out, std::move(setup), std::move(observer));
}

std::shared_ptr<Job> TcpRoute::start(plan::Plan& plan, const JobOptions& options,
                                     std::shared_ptr<JobObserver> observer) {
  check(options);
  return start(lay_out(plan, options), options, std::move(observer));
}

std::unique_ptr<PreparedCopy> TcpRoute::prepare(plan::Plan plan, const JobOptions& options) {
  check(options);
  return plain_prepared(
      [this, laid_out = lay_out(plan, options), options](std::shared_ptr<JobObserver> observer,
                                                         const auto& deadline) {
        JobOptions timed = options;
        timed.deadline = deadline;
        return start(laid_out, timed, std::move(observer));
      },
      "a CUDA graph cannot ask the peer for blocks over path tcp; post() the transfer, or use "
      "cuda_ipc");
}

}  // namespace kvferry::path::tcp
