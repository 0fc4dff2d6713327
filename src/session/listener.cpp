#include "session/listener.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/unique_fd.hpp"
#include "kvferry/error.hpp"
#include "kvferry/version.hpp"
#include "session/address.hpp"
#include "session/identity.hpp"
#include "session/loopback.hpp"
#include "session/open_files.hpp"
#include "wire/messages.hpp"

namespace kvferry::session {
namespace {

using asio::ip::tcp;
using Unix = asio::local::stream_protocol;

// Accepting again after the process ran out of descriptors waits, instead of spinning on the same
// failure.
constexpr auto kAcceptPause = std::chrono::milliseconds(50);

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

void check_permissions(const ListenOptions& options, const TlsContext* credentials) {
  for (const Permission& permission : options.permissions) {
    if (credentials == nullptr)
      throw Error(ErrorCode::invalid_argument,
                  "permissions (--permit) need credentials: without --token-file or --tls-cert "
                  "nobody can be told from anybody");
    if (permission.credential.empty())
      throw Error(ErrorCode::invalid_argument,
                  "a permission (--permit) names no credential; * stands for all others");
    if (!credentials->may_name(permission.credential))
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("a permission (--permit) is for '{}', but the token file has no such "
                              "name; it has {}",
                              permission.credential, credentials->token_names()));
    if (!permission.read && !permission.write)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("the permission of '{}' allows neither reading nor writing; leave "
                              "it out to refuse '{}'",
                              permission.credential, permission.credential));
  }
}

}  // namespace

bool somebody_answers(const std::string& path) {
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
         errno == EAGAIN;
}

Listener::Listener(asio::io_context& io, Setup setup)
    : io_(io), on_control_(setup.on_control), unix_(io) {
  const ListenOptions& options = setup.options;
  if (options.socket_path.empty())
    throw Error(ErrorCode::invalid_argument,
                "ListenOptions::socket_path is empty; local peers meet on a Unix socket, name one");
  if (options.insecure && setup.tls)
    throw Error(ErrorCode::invalid_argument,
                "insecure and credentials contradict each other: leave out --insecure, or the "
                "token or certificate");
  check_permissions(options, setup.tls.get());
  if (options.tcp) listen_tcp(options, setup.tls != nullptr);
  // Absolute: whoever reads the signpost has another working directory.
  listen_unix(std::filesystem::absolute(options.socket_path).string());
  Reception::Setup reception;
  reception.signpost = signpost(setup);
  reception.open_to_all = options.insecure;
  reception.tls = std::move(setup.tls);
  reception.permissions = options.permissions;
  reception.sessions = std::move(setup.sessions);
  reception.on_control = std::move(setup.on_control);
  reception.on_data = std::move(setup.on_data);
  reception.log = std::move(setup.log);
  reception_ = std::make_shared<Reception>(io_, std::move(reception));
  accept_next_unix();
  for (std::size_t i = 0; i < tcp_.size(); ++i) accept_next(i);
}

std::vector<std::byte> Listener::signpost(const Setup& setup) const {
  wire::Signpost here;
  here.protocol = wire::kProtocolVersion;
  here.software = version();
  here.socket_path = socket_path_;
  here.boot_id = boot_id();
  here.security = setup.tls ? setup.tls->security() : wire::Security::none;
  here.network = setup.tls != nullptr || setup.options.insecure;
  return wire::encode(here);
}

Listener::~Listener() {
  *alive_ = false;
  reception_->close();
  if (!socket_path_.empty()) ::unlink(socket_path_.c_str());
}

void Listener::listen_tcp(const ListenOptions& options, bool has_credential) {
  std::error_code error;
  const auto found = tcp::resolver(io_).resolve(options.ip, std::to_string(options.port),
                                                tcp::resolver::passive, error);
  if (error)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("--ip {}: {}; give an address of this machine", options.ip, error.message()));
  for (const auto& entry : found) {
    const auto address = plain(entry.endpoint().address());
    if (!address.is_loopback() && !options.insecure && !has_credential)
      throw Error(ErrorCode::refused,
                  fmt::format("--ip {}: {} is beyond loopback, where peers must prove themselves: "
                              "give --token-file, or --tls-cert, --tls-key and --tls-ca (kvferry "
                              "keygen makes either), or --insecure to let in anyone who reaches "
                              "the port, unencrypted",
                              options.ip, address.to_string()));
  }
  for (const auto& entry : found) {
    tcp::acceptor acceptor(io_);
    tcp::endpoint endpoint(plain(entry.endpoint().address()), entry.endpoint().port());
    if (port_ != 0) endpoint.port(port_);  // the same free port for every address of the name
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error && endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    throw_if_out_of_files(error, "cannot listen");
    if (error)
      throw Error(error == asio::error::address_in_use || error == asio::error::access_denied
                      ? ErrorCode::resource
                      : ErrorCode::invalid_argument,
                  fmt::format("cannot listen on {} port {}: {}; choose another --port or --ip",
                              endpoint.address().to_string(), endpoint.port(), error.message()));
    port_ = acceptor.local_endpoint().port();
    // Without the scope of a link-local address, which means something on this host only.
    if (ip_.empty()) {
      ip_ = endpoint.address().to_string();
      ip_.resize(std::min(ip_.find('%'), ip_.size()));
    }
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
    error.assign(errno, asio::system_category());
  if (!error) unix_.bind(Unix::endpoint(path), error);
  if (!error) {
    socket_path_ = path;
    unix_.listen(asio::socket_base::max_listen_connections, error);
  }
  throw_if_out_of_files(error, "cannot listen");
  if (error)
    throw Error(ErrorCode::resource, fmt::format("cannot listen on socket path {}: {}; choose "
                                                 "another one",
                                                 path, error.message()));
}

void Listener::take_local(Unix::socket socket) {
  try {
    Caller caller = caller_on(socket.native_handle());
    on_control_(std::make_shared<Channel>(Stream(std::move(socket))), std::move(caller),
                std::nullopt);
  } catch (const Error&) {
    // The kernel does not say who it is: nobody.
  }
}

void Listener::accept_next_unix() {
  unix_.async_accept([this, alive = alive_](std::error_code error, Unix::socket socket) {
    if (!*alive || error == asio::error::operation_aborted) return;
    if (!error) {
      take_local(std::move(socket));
      return accept_next_unix();
    }
    auto pause = std::make_shared<asio::steady_timer>(io_, kAcceptPause);
    pause->async_wait([this, alive, pause](std::error_code) {
      if (*alive) accept_next_unix();
    });
  });
}

void Listener::accept_next(std::size_t acceptor) {
  tcp_[acceptor].async_accept(
      [this, acceptor, alive = alive_](std::error_code error, tcp::socket socket) {
        if (!*alive || error == asio::error::operation_aborted) return;
        if (!error) {
          reception_->welcome(std::move(socket));
          return accept_next(acceptor);
        }
        auto pause = std::make_shared<asio::steady_timer>(io_, kAcceptPause);
        pause->async_wait([this, acceptor, alive, pause](std::error_code) {
          if (*alive) accept_next(acceptor);
        });
      });
}

}  // namespace kvferry::session
