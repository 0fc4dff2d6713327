#pragma once

#include <mutex>

#include "path/ucx/ucp_memory.hpp"

namespace kvferry::path::ucx {

class UcpConnection final : public Connection {
 public:
  UcpConnection(std::shared_ptr<UcpEngine> engine, std::vector<std::byte> address)
      : engine_(std::move(engine)), address_(std::move(address)) {}
  ~UcpConnection() override;
  std::vector<Lane> lanes() override;
  // A usable one; made anew where the last one failed. Engine's thread. Throws: Error{unreachable}.
  std::shared_ptr<Endpoint> endpoint();

 private:
  const std::shared_ptr<UcpEngine> engine_;
  const std::vector<std::byte> address_;
  std::shared_ptr<Endpoint> endpoint_;  // engine's thread
};

// What the jobs of one route share, and keep: both pools, the keys, and the way to the peer.
class Reach {
 public:
  struct Setup {
    std::shared_ptr<UcpEngine> engine;
    std::shared_ptr<PeerLink> link;
    std::shared_ptr<UcpConnection> connection;
    std::shared_ptr<UcpRegistration> registration;
    Device device;  // of the local pool
    wire::UcxGrant grant;
  };
  explicit Reach(Setup setup);
  // Tells the owner that its pool is not reached from here any more.
  ~Reach();
  Reach(const Reach&) = delete;
  Reach& operator=(const Reach&) = delete;

  UcpEngine& engine() const noexcept { return *setup_.engine; }
  Device device() const noexcept { return setup_.device; }
  const wire::UcxGrant& grant() const noexcept { return setup_.grant; }
  // Engine's thread, all that follows. Throws: Error{unreachable}, Error{refused}.
  std::shared_ptr<Endpoint> endpoint() { return setup_.connection->endpoint(); }
  std::shared_ptr<RemoteKeys> keys_for(const std::shared_ptr<Endpoint>& endpoint);
  ucp_mem_h local_at(std::uint64_t address) const noexcept {
    return setup_.registration->at(address);
  }
  std::size_t remote_region(std::uint64_t address) const noexcept { return remote_.find(address); }

 private:
  const Setup setup_;
  Ranges remote_;
  std::shared_ptr<RemoteKeys> keys_;  // engine's thread
};

class UcpRoute final : public Route {
 public:
  UcpRoute(Reach::Setup setup, const detail::PoolImpl& local, const RemoteEnd& remote);
  const plan::BlockMap& remote() const noexcept override { return remote_map_; }
  const plan::BlockMap& local() const noexcept override { return local_map_; }
  std::shared_ptr<Job> start(plan::Plan& plan, const JobOptions& options,
                             std::shared_ptr<JobObserver> observer) override;
  std::unique_ptr<PreparedCopy> prepare(plan::Plan plan, const JobOptions& options) override;

 private:
  void check(const JobOptions& options) const;

  const std::shared_ptr<Reach> reach_;
  const plan::BlockMap local_map_, remote_map_;
  const bool writable_;
};

}  // namespace kvferry::path::ucx
