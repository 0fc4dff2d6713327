#include "bench/plain_sockets.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "bench/whole_pieces.hpp"
#include "kvferry/error.hpp"
#include "path/tcp/wire_socket.hpp"

namespace kvferry::cli::bench {
namespace {

void check(bool good, const char* what) {
  if (good) return;
  throw Error(ErrorCode::resource,
              fmt::format("{} on loopback failed: {}", what, std::strerror(errno)));
}

std::pair<UniqueFd, UniqueFd> connected_pair() {
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  check(static_cast<bool>(listener), "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  check(::bind(listener.get(), any, bytes) == 0, "bind");
  check(::listen(listener.get(), 1) == 0, "listen");
  check(::getsockname(listener.get(), any, &bytes) == 0, "getsockname");
  UniqueFd near(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  check(static_cast<bool>(near), "socket");
  check(::connect(near.get(), any, bytes) == 0, "connect");
  UniqueFd far(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  check(static_cast<bool>(far), "accept");
  return {std::move(near), std::move(far)};
}

}  // namespace

PlainSockets::PlainSockets(unsigned streams, const std::string& congestion, Inside inside) {
  for (unsigned i = 0; i < streams; ++i) {
    auto [near, far] = connected_pair();
    congestion_ = path::tcp::tune_socket(near.get(), congestion);
    path::tcp::tune_socket(far.get(), congestion);
    auto& stream = streams_.emplace_back(End{std::move(near), {}}, End{std::move(far), {}});
    if (inside == Inside::nothing) continue;
    auto tls = BareTls::over(stream.first.socket.get(), stream.second.socket.get());
    stream.first.tls = std::move(tls.first);
    stream.second.tls = std::move(tls.second);
  }
  for (unsigned i = 0; i < streams; ++i) {
    threads_.emplace_back([this, i] { send_when_asked(i); });
    // The caller receives the first part itself.
    if (i == 0) continue;
    threads_.emplace_back([this, i](const std::stop_token& stop) { receive_each_round(i, stop); });
  }
}

PlainSockets::~PlainSockets() {
  for (auto& thread : threads_) thread.request_stop();
  for (const auto& [near, far] : streams_) ::shutdown(near.socket.get(), SHUT_RDWR);
  ++round_;
  round_.notify_all();
}

bool PlainSockets::End::send_all(const std::vector<iovec>& pieces) noexcept {
  return tls ? tls->send_all(pieces) : bench::send_all(socket.get(), pieces);
}

bool PlainSockets::End::receive_all(const std::vector<iovec>& pieces) noexcept {
  return tls ? tls->receive_all(pieces) : bench::receive_all(socket.get(), pieces);
}

std::vector<iovec> PlainSockets::part(std::vector<std::byte>& bytes, std::size_t stream) const {
  const std::uint64_t all = bytes_;
  return cut({{bytes.data(), all}}, all * stream / streams_.size(),
             all * (stream + 1) / streams_.size());
}

// Nobody sends or receives between two copies.
void PlainSockets::grow(std::uint64_t bytes) {
  from_.assign(bytes, std::byte{1});
  to_.assign(bytes, std::byte{2});
}

void PlainSockets::send_when_asked(std::size_t stream) noexcept {
  End& end = streams_[stream].second;
  char asking = 0;
  while (end.receive_all({{&asking, 1}})) {
    if (!end.send_all(part(from_, stream))) return;
  }
}

bool PlainSockets::receive(std::size_t stream) noexcept {
  End& end = streams_[stream].first;
  char asking = 1;
  return end.send_all({{&asking, 1}}) && end.receive_all(part(to_, stream));
}

void PlainSockets::receive_each_round(std::size_t stream, const std::stop_token& stop) noexcept {
  for (unsigned seen = 0;; ++seen) {
    round_.wait(seen);
    if (stop.stop_requested()) return;
    if (!receive(stream)) broken_ = true;
    ++received_;
    received_.notify_one();
  }
}

double PlainSockets::copy(std::uint64_t bytes) {
  if (bytes > from_.size()) grow(bytes);
  bytes_ = bytes;
  received_ = 0;
  const auto start = std::chrono::steady_clock::now();
  ++round_;
  round_.notify_all();
  if (!receive(0)) broken_ = true;
  for (unsigned done = received_; done + 1 < streams_.size(); done = received_) {
    received_.wait(done);
  }
  const auto end = std::chrono::steady_clock::now();
  if (broken_) throw Error(ErrorCode::resource, "a connection of loopback has broken");
  return std::chrono::duration<double>(end - start).count();
}

}  // namespace kvferry::cli::bench
