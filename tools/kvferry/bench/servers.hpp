#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "bench/child_process.hpp"
#include "interrupts.hpp"
#include "kvferry/shape.hpp"

namespace kvferry::cli::bench {

// One `kvferry serve` of ours.
struct ServerSpec {
  std::string device;  // "host", "cuda:0"
  CacheShape shape;
  std::uint32_t blocks = 0;
  std::uint32_t instance = 0;  // tells servers apart that are otherwise the same
  bool tls = false;            // its clients come over TCP, as from another host, with a token
  std::string congestion{}, ucx_transports{};  // as `kvferry serve` takes them; empty: not given

  std::uint64_t bytes() const noexcept { return shape.block_bytes() * shape.layers * blocks; }
  std::vector<std::string> arguments(const std::string& socket,
                                     const std::string& token_file) const;
  std::string key() const;
};

// The servers of a benchmark: real processes, on sockets in a directory of their own. All are ended
// and the directory is removed by the destructor. One thread.
class Servers {
 public:
  // Throws: Error{resource}.
  explicit Servers(const Interrupts& interrupts);
  ~Servers();
  Servers(const Servers&) = delete;
  Servers& operator=(const Servers&) = delete;

  // Has exactly these running: starts what is missing, all at once, and ends the others.
  // Throws: Error{resource} with a server's own words when one does not start, Error{cancelled}.
  void keep(const std::vector<ServerSpec>& specs);
  // "unix:/...", of one with a token "127.0.0.1:PORT". Requires: it was among those kept last.
  const std::string& address(const ServerSpec& spec) const;
  // What clients of servers with a token need.
  const std::string& token_file() const noexcept { return token_file_; }
  bool has(const ServerSpec& spec) const { return running_.contains(spec.key()); }

 private:
  struct Server {
    ChildProcess process;
    std::string socket, address;
    bool ready = false;
  };
  void end_unless(const std::vector<ServerSpec>& specs);
  void make_token();
  void wait_ready(Server& server, const ServerSpec& spec) const;
  static void found_ready(Server& server, const ServerSpec& spec, const std::string& output);

  const Interrupts& interrupts_;
  std::string directory_;
  std::string token_file_;  // made with the first server that needs it
  unsigned started_ = 0;
  std::map<std::string, Server> running_;
};

}  // namespace kvferry::cli::bench
