#include "session/listener.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <asio/steady_timer.hpp>
#include <asio/write.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/unique_fd.hpp"
#include "kvferry/error.hpp"
#include "kvferry/version.hpp"
#include "session/address.hpp"
#include "session/identity.hpp"
#include "wire/messages.hpp"

namespace kvferry::session {
namespace {

using asio::ip::tcp;
using Unix = asio::local::stream_protocol;

// Signposts shown at once; for one more the oldest, which has had its time to read, is closed.
constexpr std::size_t kMaxSignposts = 64;
constexpr auto kSignpostTime = std::chrono::seconds(1);
// Accepting again after the process ran out of descriptors waits, instead of spinning on the same
// failure.
constexpr auto kAcceptPause = std::chrono::milliseconds(50);

bool somebody_answers(const std::string& path) {
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
         errno == EAGAIN;
}

// A socket left behind by a process that was killed is removed; anything else there is somebody's.
void clear_stale_socket(const std::string& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return;
  if (!S_ISSOCK(info.st_mode))
    throw Error(ErrorCode::resource,
                fmt::format("socket path {}: a file that is no socket is there; move it away or "
                            "choose another path",
                            path));
  if (somebody_answers(path))
    throw Error(ErrorCode::resource,
                fmt::format("socket path {}: another server is listening there; stop it or choose "
                            "another path",
                            path));
  if (::unlink(path.c_str()) != 0)
    throw Error(ErrorCode::resource,
                fmt::format("socket path {}: cannot remove the stale socket there: {}", path,
                            std::strerror(errno)));
}

}  // namespace

struct Listener::Signpost : std::enable_shared_from_this<Signpost> {
  Signpost(tcp::socket s, std::shared_ptr<const std::vector<std::byte>> t)
      : socket(std::move(s)), timer(socket.get_executor()), text(std::move(t)) {}

  void show() {
    timer.expires_after(kSignpostTime);
    timer.async_wait([self = shared_from_this()](std::error_code stopped) {
      std::error_code ignored;
      if (!stopped) self->socket.close(ignored);
    });
    asio::async_write(socket, asio::buffer(*text),
                      [self = shared_from_this()](std::error_code error, std::size_t) {
                        if (error) return self->timer.cancel(), void();
                        // Closing with unread input would reset the connection and could lose what
                        // was just written: wait for the reader to close, or for the timer.
                        self->drain();
                      });
  }
  void drain() {
    socket.async_read_some(asio::buffer(scrap),
                           [self = shared_from_this()](std::error_code error, std::size_t) {
                             if (error) return self->timer.cancel(), void();
                             self->drain();
                           });
  }

  tcp::socket socket;
  asio::steady_timer timer;
  std::shared_ptr<const std::vector<std::byte>> text;
  std::array<std::byte, 256> scrap{};
};

Listener::Listener(asio::io_context& io, const ListenOptions& options, OnAccept on_accept)
    : io_(io), on_accept_(std::move(on_accept)), unix_(io) {
  if (options.socket_path.empty())
    throw Error(ErrorCode::invalid_argument,
                "ListenOptions::socket_path is empty; local peers meet on a Unix socket, name one");
  if (options.tcp) listen_tcp(options);
  // Absolute: whoever reads the signpost has another working directory.
  listen_unix(std::filesystem::absolute(options.socket_path).string());
  wire::Signpost here;
  here.protocol = wire::kProtocolVersion;
  here.software = version();
  here.socket_path = socket_path_;
  here.boot_id = boot_id();
  signpost_text_ = std::make_shared<const std::vector<std::byte>>(wire::encode(here, 0));
  accept_next_unix();
  for (std::size_t i = 0; i < tcp_.size(); ++i) accept_next(i);
}

Listener::~Listener() {
  *alive_ = false;
  if (!socket_path_.empty()) ::unlink(socket_path_.c_str());
}

void Listener::listen_tcp(const ListenOptions& options) {
  std::error_code error;
  const auto found = tcp::resolver(io_).resolve(options.ip, std::to_string(options.port),
                                                tcp::resolver::passive, error);
  if (error)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("--ip {}: {}; give an address of this machine", options.ip, error.message()));
  for (const auto& entry : found) {
    const auto address = entry.endpoint().address();
    if (!address.is_loopback() && !options.insecure)
      throw Error(ErrorCode::refused,
                  fmt::format("--ip {}: {} is beyond loopback and there is no authentication yet; "
                              "use 127.0.0.1, or --insecure to let anyone who reaches the port "
                              "learn where the socket is",
                              options.ip, address.to_string()));
  }
  for (const auto& entry : found) {
    tcp::acceptor acceptor(io_);
    tcp::endpoint endpoint = entry.endpoint();
    if (port_ != 0) endpoint.port(port_);  // the same free port for every address of the name
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error && endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error)
      throw Error(error == asio::error::address_in_use || error == asio::error::access_denied
                      ? ErrorCode::resource
                      : ErrorCode::invalid_argument,
                  fmt::format("cannot listen on {} port {}: {}; choose another --port or --ip",
                              endpoint.address().to_string(), endpoint.port(), error.message()));
    port_ = acceptor.local_endpoint().port();
    tcp_.push_back(std::move(acceptor));
  }
}

void Listener::listen_unix(const std::string& path) {
  if (path.size() > kMaxSocketPath)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("socket path {} has {} bytes; the system's limit is {}", path,
                            path.size(), kMaxSocketPath));
  clear_stale_socket(path);
  std::error_code error;
  unix_.open(Unix{}, error);
  // The mode given to the unbound socket is the mode bind() creates the file with (unix(7) on
  // Linux): there is no moment at which others could connect. The uid check at accept does not rest
  // on it.
  if (!error && ::fchmod(unix_.native_handle(), 0600) != 0)
    error.assign(errno, std::system_category());
  if (!error) unix_.bind(Unix::endpoint(path), error);
  if (!error) {
    socket_path_ = path;
    unix_.listen(asio::socket_base::max_listen_connections, error);
  }
  if (error)
    throw Error(ErrorCode::resource, fmt::format("cannot listen on socket path {}: {}; choose "
                                                 "another one",
                                                 path, error.message()));
}

void Listener::accept_next_unix() {
  unix_.async_accept([this, alive = alive_](std::error_code error, Unix::socket socket) {
    if (!*alive || error == asio::error::operation_aborted) return;
    if (!error) {
      on_accept_(std::move(socket));
      return accept_next_unix();
    }
    auto pause = std::make_shared<asio::steady_timer>(io_, kAcceptPause);
    pause->async_wait([this, alive, pause](std::error_code) {
      if (*alive) accept_next_unix();
    });
  });
}

void Listener::show_signpost(tcp::socket socket) {
  std::erase_if(signposts_, [](const auto& weak) { return weak.expired(); });
  if (signposts_.size() >= kMaxSignposts) {
    std::error_code ignored;
    if (const auto oldest = signposts_.front().lock()) oldest->socket.close(ignored);
    signposts_.pop_front();
  }
  const auto signpost = std::make_shared<Signpost>(std::move(socket), signpost_text_);
  signposts_.push_back(signpost);
  signpost->show();
}

void Listener::accept_next(std::size_t acceptor) {
  tcp_[acceptor].async_accept(
      [this, acceptor, alive = alive_](std::error_code error, tcp::socket socket) {
        if (!*alive || error == asio::error::operation_aborted) return;
        if (!error) {
          show_signpost(std::move(socket));
          return accept_next(acceptor);
        }
        auto pause = std::make_shared<asio::steady_timer>(io_, kAcceptPause);
        pause->async_wait([this, acceptor, alive, pause](std::error_code) {
          if (*alive) accept_next(acceptor);
        });
      });
}

}  // namespace kvferry::session
