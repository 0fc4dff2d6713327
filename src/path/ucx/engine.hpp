#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kvferry/node.hpp"
#include "memory/pool_impl.hpp"
#include "path/path.hpp"
#include "path/ucx/transports.hpp"
#include "wire/messages.hpp"

namespace kvferry::path::ucx {

// A pool that UCX may use: its regions and their keys. Unmapped when destroyed, or by
// Engine::forget(). Keeps the pool.
class Registration {
 public:
  virtual ~Registration() = default;
  virtual const std::vector<wire::UcxRegion>& regions() const noexcept = 0;
};

// The way to one peer's worker. Where it breaks, the next use makes a new one. Thread-safe.
class Connection {
 public:
  virtual ~Connection() = default;
  // The transports towards that peer. Connects where that was not done yet. Throws:
  // Error{unreachable}.
  virtual std::vector<Lane> lanes() = 0;
};

// This process's use of UCX: one context, one worker, and one thread that does all of its work and
// sleeps when there is none. Nothing is loaded and no thread started before the first use.
// Thread-safe; calls that wait must not come from the node's I/O thread.
class Engine {
 public:
  virtual ~Engine() = default;
  // Why UCX is of no use here, as far as can be seen without it; empty: it may be tried.
  virtual std::string why_not() const = 0;
  // Transports beyond RDMA were asked for by name.
  virtual bool takes_software() const noexcept = 0;
  // "UCX 1.13.1: rc, dc (RDMA alone)", for people. Loads the library. Throws: Error{resource}.
  virtual std::string describe() = 0;
  // Runs `work` on the engine's thread, in turn; it may use what follows without waiting. False:
  // the engine has stopped, and will not.
  virtual bool post(std::function<void()> work) = 0;
  // By which peers reach our worker. Throws: Error{refused} (no transport), Error{resource}.
  virtual std::vector<std::byte> address() = 0;
  // Once for each pool, however often it is asked for. Throws: as address(), and Error{refused}
  // where UCX cannot use such memory.
  virtual std::shared_ptr<Registration> enrol(const std::shared_ptr<detail::PoolImpl>& pool) = 0;
  // Whether enrol() can work for that kind of memory; empty: yes. Throws: as address().
  virtual std::string why_not(Device device) = 0;
  virtual std::shared_ptr<Connection> connect(std::vector<std::byte> address) = 0;
  // Throws: as enrol(), and Error{unreachable}.
  virtual std::unique_ptr<Route> open(const std::shared_ptr<detail::PoolImpl>& local,
                                      RemoteEnd remote) = 0;
  // Nobody can reach the pool by its keys any more once this returns, as far as UCX can promise it.
  virtual void forget(const detail::PoolImpl* pool) noexcept = 0;
  // Ends every job and lets go of everything.
  virtual void stop() noexcept = 0;
};

std::shared_ptr<Engine> make_engine(const UcxOptions& options);

// What a path over UCX needs of its peer. Thread-safe; calls wait for the peer's answer.
class PeerLink {
 public:
  virtual ~PeerLink() = default;
  virtual const std::shared_ptr<Engine>& engine() const noexcept = 0;
  // Why nothing can be asked of the peer; empty: it can.
  virtual std::string why_not() const = 0;
  // Waits no longer than `until`. Throws: Error{refused}, Error{unreachable}, Error{deadline}.
  virtual std::shared_ptr<Connection> connection(std::chrono::steady_clock::time_point until) = 0;
  // Keys of one of its pools, until close(). Waits and throws as connection().
  virtual wire::UcxGrant open(std::uint32_t pool, std::uint64_t generation, bool wants_write,
                              std::chrono::steady_clock::time_point until) = 0;
  virtual void close(std::uint32_t pool, std::uint64_t generation) noexcept = 0;
};

// What UCX may use where nobody names anything: RDMA, and what it takes to reach GPU memory. Names
// that a build of UCX does not know it skips.
inline constexpr const char* kRdmaTransports = "rc,dc,cuda,gdr_copy";

// Why an owner that lets UCX carry out gets and puts in software is dangerous; for messages.
inline constexpr std::string_view kSoftwareRisk =
    "in software UCX checks no keys: a peer can read and write any byte of this process, before "
    "and after its pools are revoked";

}  // namespace kvferry::path::ucx
