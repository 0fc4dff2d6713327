#include "path/host_shm/host_shm_route.hpp"

#include "path/host_shm/copy_job.hpp"

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

// The checked plan; each start takes a copy of it.
class HostShmRoute::Prepared final : public PreparedCopy {
 public:
  Prepared(HostShmRoute& route, plan::Plan plan, const JobOptions& options)
      : route_(route), plan_(std::move(plan)), options_(options) {}
  std::shared_ptr<Job> start(std::shared_ptr<JobObserver> observer,
                             std::optional<std::chrono::steady_clock::time_point>) override {
    plan::Plan plan = plan_;
    return route_.start(plan, options_, std::move(observer));
  }
  void capture(CudaStream) override {
    throw Error(ErrorCode::invalid_argument,
                "capture: a CUDA graph copies GPU memory; both pools are in host memory");
  }
  void retire(ErrorCode) noexcept override {}
  const volatile std::uint32_t* status_word() const noexcept override { return nullptr; }

 private:
  HostShmRoute& route_;
  const plan::Plan plan_;
  const JobOptions options_;
};

std::unique_ptr<PreparedCopy> HostShmRoute::prepare(plan::Plan plan, const JobOptions& options) {
  check(options, setup_.writable);
  return std::make_unique<Prepared>(*this, std::move(plan), options);
}

}  // namespace kvferry::path::host
