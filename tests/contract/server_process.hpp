#pragma once

#include <sys/types.h>

#include <string>

#include "base/unique_fd.hpp"
#include "contract/pools.hpp"
#include "kvferry/credentials.hpp"

namespace kvferry::contract {

// The other process: this very program, run again as a server of one pool. It fills the pool with
// seed 0 and obeys commands on its standard input: "wrong SEED" (how many bytes differ), "revoke
// MS", "notice" (the text of the next notice).
class ServerProcess {
 public:
  // How it can be reached: its Unix socket alone; or over TCP, too, for data; or over the network
  // alone, as from another host: by the credentials, or by whoever asks where there are none.
  enum class Reach { unix_socket, data, network };
  explicit ServerProcess(const PoolSpec& spec, Reach reach = Reach::unix_socket,
                         const std::string& ucx_transports = {},
                         const Credentials& credentials = {});
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  std::string address() const {
    return reach_ == Reach::network ? "127.0.0.1:" + port_ : "unix:" + socket_path_;
  }
  // One line of answer. Empty when the process is gone.
  std::string ask(const std::string& command);
  void kill_now();
  void stop();  // SIGSTOP
  void go_on();

 private:
  std::string read_line();
  const Reach reach_;
  std::string directory_, socket_path_, port_;
  pid_t pid_ = 0;
  UniqueFd to_, from_;
};

// main() of the server; argv as ServerProcess builds it.
int run_server(int argc, char** argv);

}  // namespace kvferry::contract
