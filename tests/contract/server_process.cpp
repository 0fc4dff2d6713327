#include "contract/server_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "kvferry/kvferry.hpp"

extern char** environ;

namespace kvferry::contract {

ServerProcess::ServerProcess(const PoolSpec& spec, Reach reach, const std::string& ucx_transports,
                             const Credentials& credentials)
    : reach_(reach) {
  char pattern[] = "/tmp/kvferry-contract-XXXXXX";
  directory_ = ::mkdtemp(pattern);
  socket_path_ = directory_ + "/s";
  int in[2], out[2];
  if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0)
    throw std::runtime_error("no pipes");
  to_.reset(in[1]);
  from_.reset(out[0]);
  UniqueFd child_in(in[0]), child_out(out[1]);
  const CacheShape& s = spec.shape;
  std::vector<std::string> words{std::filesystem::read_symlink("/proc/self/exe").string(),
                                 "--server",
                                 socket_path_,
                                 spec.kind,
                                 std::to_string(spec.blocks),
                                 std::to_string(spec.writable),
                                 fmt::format("{} {} {} {} {} {}", s.layers, s.kv, s.kv_heads,
                                             s.head_dim, s.block_tokens, static_cast<int>(s.dtype)),
                                 std::to_string(static_cast<int>(reach)),
                                 ucx_transports,
                                 credentials.token_file,
                                 credentials.certificate,
                                 credentials.key,
                                 credentials.authority,
                                 std::to_string(credentials.plain_data)};
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, child_in.get(), 0);
  ::posix_spawn_file_actions_adddup2(&actions, child_out.get(), 1);
  const int rc = ::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (rc != 0) throw std::runtime_error("the server process did not start");
  child_in.reset();
  child_out.reset();
  const auto line = read_line();
  if (line.rfind("ready ", 0) != 0)
    throw std::runtime_error("the server process said '" + line + "' instead of ready");
  port_ = line.substr(6);
}

ServerProcess::~ServerProcess() {
  to_.reset();  // end of its input: it leaves
  if (pid_ > 0) {
    ::kill(pid_, SIGCONT);
    ::waitpid(pid_, nullptr, 0);
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string ServerProcess::ask(const std::string& command) {
  const std::string line = command + "\n";
  if (::write(to_.get(), line.data(), line.size()) < 0) return {};
  return read_line();
}

std::string ServerProcess::read_line() {
  std::string line;
  char c = 0;
  while (::read(from_.get(), &c, 1) == 1) {
    if (c == '\n') return line;
    line += c;
  }
  return line;
}

void ServerProcess::kill_now() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void ServerProcess::stop() { ::kill(pid_, SIGSTOP); }
void ServerProcess::go_on() { ::kill(pid_, SIGCONT); }

namespace {

std::string obey(Node& node, Pool& pool, const std::string& line) {
  std::istringstream words(line);
  std::string command;
  words >> command;
  if (command == "wrong") {
    std::uint64_t seed = 0;
    words >> seed;
    return std::to_string(wrong_bytes(pool, seed, {}));
  }
  if (command == "revoke") {
    int ms = 0;
    words >> ms;
    try {
      pool.revoke(std::chrono::milliseconds(ms));
    } catch (const Error& error) {
      return fmt::format("error {} {}", static_cast<int>(error.code()), error.what());
    }
    return "revoked";
  }
  if (command == "notice") {
    for (int i = 0; i < 500; ++i) {
      if (const auto notice = node.next_notice())
        return fmt::format("{} {} {} {}", to_string(notice->direction), notice->blocks,
                           notice->bytes, notice->text);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return "none";
  }
  return "unknown command " + command;
}

}  // namespace

int run_server(int argc, char** argv) {
  if (argc != 14) return 2;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  PoolSpec spec;
  spec.kind = argv[3];
  spec.blocks = static_cast<std::uint32_t>(std::atol(argv[4]));
  spec.writable = std::string(argv[5]) == "1" || std::string(argv[5]) == "true";
  int dtype = 0;
  CacheShape& s = spec.shape;
  std::istringstream(argv[6]) >> s.layers >> s.kv >> s.kv_heads >> s.head_dim >> s.block_tokens >>
      dtype;
  s.dtype = static_cast<DType>(dtype);
  try {
    Pool pool = make_pool(spec);
    fill_whole(pool, 0);
    NodeOptions options;
    options.ucx.transports = argv[8];
    options.credentials.token_file = argv[9];
    options.credentials.certificate = argv[10];
    options.credentials.key = argv[11];
    options.credentials.authority = argv[12];
    options.credentials.plain_data = std::string(argv[13]) == "1";
    Node node(options);
    node.add(pool);
    ListenOptions listen;
    const auto reach = static_cast<ServerProcess::Reach>(std::atoi(argv[7]));
    listen.tcp = reach != ServerProcess::Reach::unix_socket;
    listen.port = 0;
    listen.insecure = reach == ServerProcess::Reach::network && options.credentials.empty();
    listen.socket_path = argv[2];
    node.listen(listen);
    // Without the socket a client can only come over the network.
    if (reach == ServerProcess::Reach::network) ::unlink(argv[2]);
    std::cout << "ready " << node.port() << std::endl;
    for (std::string line; std::getline(std::cin, line);)
      std::cout << obey(node, pool, line) << std::endl;
  } catch (const std::exception& error) {
    std::cout << "error: " << error.what() << std::endl;
    return 1;
  }
  return 0;
}

}  // namespace kvferry::contract
