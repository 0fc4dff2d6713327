#pragma once

#include <cstdint>
#include <string>

#include "bench/child_process.hpp"
#include "kvferry/shape.hpp"

namespace gemm_beside {

// What the owner fills its pool with: kvferry::pattern, by this seed.
inline constexpr std::uint64_t kOwnerSeed = 1;

// The whole of the owner's process: serves one pool of the default shape on this GPU until standard
// input ends. Prints "ready" once it can be connected to.
int serve_pool(const std::string& socket, int device, std::uint32_t blocks);

// That process, a child of this one, and the private folder its socket is in. Both go with this.
class OwnerProcess {
 public:
  // Returns once it is ready. Throws: Error{resource} with its own words when it does not start.
  OwnerProcess(int device, std::uint32_t blocks);
  ~OwnerProcess();
  OwnerProcess(const OwnerProcess&) = delete;
  OwnerProcess& operator=(const OwnerProcess&) = delete;

  std::string address() const { return "unix:" + socket_; }
  // Once connected: however this process ends then (Ctrl-C), it leaves nothing behind.
  void remove_socket() noexcept;

 private:
  void wait_ready();

  std::string directory_, socket_;
  kvferry::cli::bench::ChildProcess process_;
};

}  // namespace gemm_beside
