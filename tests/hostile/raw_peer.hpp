#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.hpp"
#include "kvferry/error.hpp"
#include "session/identity.hpp"
#include "wire/frame.hpp"
#include "wire/messages.hpp"

namespace kvferry::hostile {

inline wire::Hello greeting(const std::string& name = "evil") {
  wire::Hello hello;
  hello.software = "0.0.0";
  hello.node = name;
  hello.pid = 1;
  hello.nonce = session::process_nonce();
  return hello;
}

// A peer that speaks the protocol and keeps to none of its manners: it says what the test says,
// and reads only when told to.
class RawPeer {
 public:
  // Over the network, from an address of 127.0.0.0/8; insecurely.
  static RawPeer over_tcp(std::uint16_t port, std::uint32_t from = INADDR_LOOPBACK) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in source{};
    source.sin_family = AF_INET;
    source.sin_addr.s_addr = htonl(from);
    ::bind(fd.get(), reinterpret_cast<sockaddr*>(&source), sizeof source);
    sockaddr_in address = source;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fd.reset();
    RawPeer peer(std::move(fd));
    peer.hear();  // the signpost
    return peer;
  }
  static RawPeer over_unix(const std::string& path) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fd.reset();
    return RawPeer(std::move(fd));
  }

  // False: the connection is over.
  bool send(const std::vector<std::byte>& bytes) const {
    return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  bool say(const wire::Message& message) const { return send(wire::encode(message)); }
  // The next message; descriptors that come with it are lost. nullopt: nothing came.
  std::optional<wire::Message> hear() const {
    std::array<std::byte, wire::kHeaderBytes> head;
    if (!read(head.data(), head.size())) return std::nullopt;
    std::vector<std::byte> payload(wire::parse_header(head, wire::kMaxPayloadBytes).payload_bytes);
    if (!read(payload.data(), payload.size())) return std::nullopt;
    return wire::decode(payload);
  }
  // The next of that kind.
  template <typename M>
  std::optional<M> hear_of() const {
    while (auto message = hear())
      if (auto* found = std::get_if<M>(&*message)) return std::move(*found);
    return std::nullopt;
  }
  // Says hello and hears the answer.
  std::optional<wire::Message> meet(const std::string& name = "evil") const {
    say(greeting(name));
    return hear();
  }
  bool is_let_in(const std::string& name = "evil") const {
    const auto answer = meet(name);
    return answer && std::holds_alternative<wire::Hello>(*answer);
  }

 private:
  explicit RawPeer(UniqueFd fd) : fd_(std::move(fd)) {
    timeval patience{10, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }
  bool read(std::byte* to, std::size_t bytes) const {
    return ::recv(fd_.get(), to, bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes);
  }

  UniqueFd fd_;
};

}  // namespace kvferry::hostile
