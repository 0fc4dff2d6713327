#include "path/host_shm/host_shm_route.hpp"

#include "path/host_shm/copy_job.hpp"
#include "path/plain_prepared.hpp"

namespace kvferry::path::host {

namespace {

void check(const JobOptions& options, bool writable) {
  if (options.stream) {
    throw Error(ErrorCode::invalid_argument,
                "stream: a CUDA stream needs a CUDA pool; the local pool is in host memory");
  }
  if (options.copy != CopyMethod::automatic) {
    throw Error(ErrorCode::invalid_argument,
                "copy (--copy): kernel and engine are ways to copy GPU memory; both pools are in "
                "host memory, use auto");
  }
  // The mapping is read-only: a push would end in SIGSEGV.
  if (options.direction == Direction::push && !writable) {
    throw Error(ErrorCode::refused,
                "push: the remote pool is not writable; its owner must create it writable");
  }
}

}  // namespace

HostShmRoute::HostShmRoute(Setup setup)
    : setup_(std::move(setup)), local_(setup_.local->block_map()) {
  const auto& mappings = setup_.remote.mappings;
  fills_.reserve(mappings.size());
  for (std::size_t i = 0; i < mappings.size(); ++i) {
    fills_.emplace_back(*setup_.threads, mappings[i]->base(), setup_.offer.regions[i].bytes,
                        setup_.writable);
  }
}

std::shared_ptr<Job> HostShmRoute::start(plan::Plan& plan, const JobOptions& options,
                                         std::shared_ptr<JobObserver> observer) {
  check(options, setup_.writable);
  return CopyJob::start(std::move(plan), {.mover = setup_.mover,
                                          .direction = options.direction,
                                          .threads = setup_.threads,
                                          .observer = std::move(observer)});
}

std::unique_ptr<PreparedCopy> HostShmRoute::prepare(plan::Plan plan, const JobOptions& options) {
  check(options, setup_.writable);
  return plain_prepared(
      [this, plan = std::move(plan), options](std::shared_ptr<JobObserver> observer, const auto&) {
        plan::Plan once = plan;
        return start(once, options, std::move(observer));
      },
      "a CUDA graph copies GPU memory; both pools are in host memory");
}

}  // namespace kvferry::path::host
