#include "path/ucx/ucp_engine.hpp"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "path/ucx/ucp_endpoint.hpp"
#include "path/ucx/ucp_job.hpp"
#include "path/ucx/ucp_memory.hpp"

namespace kvferry::path::ucx {
namespace {

constexpr const char* kCards = "/sys/class/infiniband";
// While something is under way its end is worth a short spin: sleeping and waking take about 10 us.
constexpr auto kSpin = std::chrono::microseconds(50);
// How often jobs that are being stopped, and endpoints that are being closed, are looked at.
constexpr int kStoppingLookMs = 5;
constexpr int kRunningLookMs = 1000;
constexpr unsigned kProgressAtOnce = 64;
constexpr auto kLastWords = std::chrono::seconds(1);

bool has_cards() {
  std::error_code none;
  const std::filesystem::directory_iterator cards(kCards, none);
  return !none && cards != std::filesystem::directory_iterator();
}

}  // namespace

UcpEngine::UcpEngine(const UcxOptions& options) : transports_(options.transports) {}

UcpEngine::~UcpEngine() { stop(); }

std::string UcpEngine::why_not() const {
  if (!takes_software() && !has_cards())
    return fmt::format(
        "no RDMA card here ({} is empty); UCX's other transports work {}. "
        "--ucx-transports (UcxOptions::transports) on both sides takes them by name",
        kCards, "in software, where no key protects any byte of the two processes");
  return UcpLibrary::why_not();
}

// ---- from any thread ----

void UcpEngine::wake() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
}

bool UcpEngine::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return false;
    if (!thread_.joinable()) start();
    posted_.push_back(std::move(work));
  }
  wake();
  return true;
}

void UcpEngine::start() {
  wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  poll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!wake_ || !poll_)
    throw Error(ErrorCode::resource, fmt::format("no descriptor for the thread of UCX: {}; raise "
                                                 "ulimit -n",
                                                 std::strerror(errno)));
  watch(wake_.get());
  thread_ = std::thread([this] { run(); });
}

std::vector<std::byte> UcpEngine::address() {
  return call([this] {
    ucp_address_t* address = nullptr;
    std::size_t bytes = 0;
    if (const auto status = ucp_->worker_get_address(worker(), &address, &bytes); status != UCS_OK)
      throw Error(ErrorCode::resource,
                  fmt::format("UCX names no address of its worker: {}", ucp_->text_of(status)));
    const auto* first = reinterpret_cast<const std::byte*>(address);
    std::vector<std::byte> copy(first, first + bytes);
    ucp_->worker_release_address(worker_, address);
    return copy;
  });
}

std::shared_ptr<Registration> UcpEngine::enrol(const std::shared_ptr<detail::PoolImpl>& pool) {
  return call([&]() -> std::shared_ptr<Registration> {
    if (auto why = why_not(pool->device); !why.empty()) throw Error(ErrorCode::refused, why);
    std::erase_if(registrations_, [](const auto& entry) { return entry.second.expired(); });
    auto& known = registrations_[pool.get()];
    if (auto registration = known.lock()) return registration;
    auto registration = std::make_shared<UcpRegistration>(shared_from_this(), pool);
    known = registration;
    return registration;
  });
}

std::string UcpEngine::why_not(Device device) {
  return call([&]() -> std::string {
    context();
    if (!device.is_cuda() || (memory_types_ & UCS_BIT(UCS_MEMORY_TYPE_CUDA)) != 0) return {};
    return fmt::format(
        "the pool is on {}, and this UCX ({}) knows nothing of CUDA memory: take one "
        "built with CUDA, and nvidia-peermem or dma-buf for the card; until then tcp "
        "moves GPU blocks",
        device.to_string(), ucp_->version());
  });
}

void UcpEngine::forget(const detail::PoolImpl* pool) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (!thread_.joinable()) return;
  }
  try {
    call([&] {
      const auto found = registrations_.find(pool);
      if (found == registrations_.end()) return;
      if (const auto registration = found->second.lock()) registration->unmap();
      registrations_.erase(found);
    });
  } catch (const std::exception&) {
    // Stopped: nothing is mapped any more.
  }
}

void UcpEngine::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    if (!thread_.joinable()) return;
  }
  wake();
  thread_.join();
}

// ---- on the engine's thread ----

ucp_context_h UcpEngine::context() const {
  if (broken_) throw *broken_;
  return context_;
}

ucp_worker_h UcpEngine::worker() const {
  if (broken_) throw *broken_;
  return worker_;
}

std::shared_ptr<Endpoint> UcpEngine::make_endpoint(const std::vector<std::byte>& address) {
  worker();
  auto endpoint = std::make_shared<Endpoint>(*this, address);
  endpoints_.push_back(endpoint);
  return endpoint;
}

void UcpEngine::remember(const std::shared_ptr<RemoteKeys>& keys) {
  std::erase_if(keys_, [](const auto& weak) { return weak.expired(); });
  keys_.push_back(keys);
}

void UcpEngine::watch(int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    throw Error(ErrorCode::resource, fmt::format("epoll_ctl: {}", std::strerror(errno)));
}

void UcpEngine::run() noexcept {
  thread_id_ = std::this_thread::get_id();
  try {
    open_worker();
  } catch (const Error& error) {
    broken_.emplace(error);
  } catch (const std::exception& error) {
    broken_.emplace(ErrorCode::resource, error.what());
  }
  for (;;) {
    const bool done = !run_posted();
    if (progress()) busy_ = Clock::now();
    step_jobs();
    if (done) break;
    sleep();
  }
  close_all();
}

// False: it is time to stop, and nothing more will be posted.
bool UcpEngine::run_posted() noexcept {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(wake_.get(), &count, sizeof count);
  std::deque<std::function<void()>> work;
  bool stopping = false;
  {
    const std::lock_guard lock(mutex_);
    work.swap(posted_);
    stopping = stopping_;
  }
  if (!work.empty()) busy_ = Clock::now();
  for (auto& one : work) {
    try {
      one();
    } catch (...) {
      // Whoever waits gets it by the future.
    }
    one = nullptr;
  }
  return !stopping;
}

bool UcpEngine::progress() noexcept {
  if (worker_ == nullptr) return false;
  unsigned times = 0;
  while (times < kProgressAtOnce && ucp_->worker_progress(worker_) != 0) ++times;
  return times != 0;
}

void UcpEngine::step_jobs() noexcept {
  const auto now = Clock::now();
  std::erase_if(jobs_, [&](const auto& job) { return job->step(now); });
}

bool UcpEngine::tend_endpoints() noexcept {
  bool closing = false;
  for (const auto& endpoint : endpoints_) closing |= endpoint->tend();
  std::erase_if(endpoints_, [](const auto& endpoint) { return endpoint->closed(); });
  return closing;
}

void UcpEngine::sleep() noexcept {
  bool stopping = tend_endpoints();
  for (const auto& job : jobs_) stopping |= job->is_stopping();
  if (!jobs_.empty() && Clock::now() - busy_ < kSpin) return;
  // Busy: something came in since the last progress.
  if (worker_ != nullptr && ucp_->worker_arm(worker_) == UCS_ERR_BUSY) return;
  const int limit = stopping ? kStoppingLookMs : jobs_.empty() ? -1 : kRunningLookMs;
  epoll_event events[2];
  ::epoll_wait(poll_.get(), events, 2, limit);
}

void UcpEngine::unmap(ucp_mem_h handle) noexcept {
  if (mapped_.erase(handle) != 0) ucp_->mem_unmap(context_, handle);
}

void UcpEngine::close_all() noexcept {
  const auto until = Clock::now() + kLastWords;
  for (const auto& endpoint : endpoints_) endpoint->fail("the node is closing");
  while ((!jobs_.empty() || !endpoints_.empty()) && Clock::now() < until) {
    tend_endpoints();
    progress();
    step_jobs();
  }
  for (const auto& job : jobs_) job->give_up("UCX did not let go of it while the node was closing");
  for (const auto& weak : keys_)
    if (const auto keys = weak.lock()) keys->release();
  for (const auto& [pool, weak] : registrations_)
    if (const auto registration = weak.lock()) registration->unmap();
  while (!mapped_.empty()) unmap(*mapped_.begin());
  if (worker_ != nullptr) ucp_->worker_destroy(worker_);
  if (context_ != nullptr) ucp_->cleanup(context_);
  jobs_.clear();
  endpoints_.clear();
  worker_ = nullptr;
  context_ = nullptr;
  broken_.emplace(ErrorCode::unreachable, "the node is closed");
}

std::shared_ptr<Engine> make_engine(const UcxOptions& options) {
  return std::make_shared<UcpEngine>(options);
}

}  // namespace kvferry::path::ucx
