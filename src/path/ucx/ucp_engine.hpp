#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "base/unique_fd.hpp"
#include "path/ucx/engine.hpp"
#include "path/ucx/ucp_library.hpp"

namespace kvferry::path::ucx {

class Endpoint;
class UcpJob;
class UcpRegistration;
class RemoteKeys;

// Every ucp_* call of a node is made by this thread, so that UCX needs no locks.
class UcpEngine final : public Engine, public std::enable_shared_from_this<UcpEngine> {
 public:
  using Clock = std::chrono::steady_clock;

  explicit UcpEngine(const UcxOptions& options);
  ~UcpEngine() override;

  std::string why_not() const override;
  bool takes_software() const noexcept override { return !transports_.empty(); }
  std::string describe() override;
  bool post(std::function<void()> work) override;
  std::vector<std::byte> address() override;
  std::shared_ptr<Registration> enrol(const std::shared_ptr<detail::PoolImpl>& pool) override;
  std::string why_not(Device device) override;
  std::shared_ptr<Connection> connect(std::vector<std::byte> address) override;
  std::unique_ptr<Route> open(const std::shared_ptr<detail::PoolImpl>& local,
                              RemoteEnd remote) override;
  void forget(const detail::PoolImpl* pool) noexcept override;
  void stop() noexcept override;

  // Runs it on the engine's thread and waits for what comes of it. Throws what it throws, and
  // Error{unreachable} once the engine has stopped.
  template <typename F>
  auto call(F work) -> decltype(work());
  // The thread looks at its jobs.
  void wake() noexcept;

  // Of the engine's thread, all that follows.
  const UcpLibrary& ucp() const noexcept { return *ucp_; }
  // Throws: Error{refused}, Error{resource} where UCX did not start.
  ucp_context_h context() const;
  ucp_worker_h worker() const;
  // What is registered with UCX: unmapped at the latest when the engine stops, whoever still holds
  // it, or lets go of it just then on another thread. UCX ends the process where anything is left.
  void mapped(ucp_mem_h handle) { mapped_.insert(handle); }
  void unmap(ucp_mem_h handle) noexcept;
  std::shared_ptr<Endpoint> make_endpoint(const std::vector<std::byte>& address);
  void take(std::shared_ptr<UcpJob> job) { jobs_.push_back(std::move(job)); }
  void remember(const std::shared_ptr<RemoteKeys>& keys);

 private:
  void start();
  void run() noexcept;
  void open_worker();
  ucp_config_t* read_config() const;
  bool run_posted() noexcept;
  bool progress() noexcept;
  void step_jobs() noexcept;
  bool tend_endpoints() noexcept;
  void sleep() noexcept;
  void watch(int fd);
  void close_all() noexcept;
  bool on_thread() const noexcept { return std::this_thread::get_id() == thread_id_.load(); }

  const std::string transports_;
  std::mutex mutex_;
  bool stopping_ = false;
  std::deque<std::function<void()>> posted_;
  std::thread thread_;
  std::atomic<std::thread::id> thread_id_{};
  UniqueFd wake_, poll_;

  // Of the engine's thread.
  const UcpLibrary* ucp_ = nullptr;
  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  std::optional<Error> broken_;
  std::uint64_t memory_types_ = 0;
  Clock::time_point busy_;  // when something last happened
  std::vector<std::shared_ptr<UcpJob>> jobs_;
  std::vector<std::shared_ptr<Endpoint>> endpoints_;
  std::map<const detail::PoolImpl*, std::weak_ptr<UcpRegistration>> registrations_;
  std::vector<std::weak_ptr<RemoteKeys>> keys_;
  std::set<ucp_mem_h> mapped_;
};

template <typename F>
auto UcpEngine::call(F work) -> decltype(work()) {
  if (on_thread()) return work();
  auto task = std::make_shared<std::packaged_task<decltype(work())()>>(std::move(work));
  auto result = task->get_future();
  if (!post([task] { (*task)(); }))
    throw Error(ErrorCode::unreachable, "the node is closing: UCX is stopped");
  return result.get();
}

}  // namespace kvferry::path::ucx
