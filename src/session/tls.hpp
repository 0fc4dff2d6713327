#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wire/messages.hpp"

// TLS 1.3 over a socket that never blocks. The library's types stay out of this header.
struct ssl_st;
struct ssl_ctx_st;

namespace kvferry::session {

// A pre-shared key as TLS 1.3 takes it: a name that travels in the clear, and a secret that does
// not.
struct PresharedKey {
  std::string identity;
  wire::Secret key{};
};

// Whom the other end proved to be.
struct Proven {
  enum class By : std::uint8_t { nothing, token, certificate, session };
  By by = By::nothing;
  std::string name{};  // of the token or the certificate
  wire::Id session{};  // by session: a stream for data
  std::uint32_t stream = 0;
};

// What a server knows under the name of a pre-shared key.
struct KnownKey {
  wire::Secret key{};
  Proven proves{};
};
using FindKey = std::function<std::optional<KnownKey>(std::string_view identity)>;

// One end of a TLS connection. Owns the TLS state, not the socket. Not thread-safe, but may move
// from one thread to another.
class Tls {
 public:
  enum class Role : std::uint8_t { client, server };
  Tls(ssl_st* ssl, Role role, int socket, std::string who);

  // What must happen to the socket before it is worth trying again.
  enum class Want : std::uint8_t { nothing, read, write };

  // A server's end. Where a key is not found, certificates decide, or a key that nobody has.
  static std::unique_ptr<Tls> server(ssl_ctx_st& context, int socket, std::string who,
                                     FindKey find_key);
  // A client's: by a key, or without one by the context's certificate; `expected` is the name or
  // address that the server's certificate must be for.
  static std::unique_ptr<Tls> client(ssl_ctx_st& context, int socket, std::string who,
                                     PresharedKey key);
  static std::unique_ptr<Tls> client(ssl_ctx_st& context, int socket, std::string who,
                                     const std::string& expected);
  ~Tls();
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;

  // `nothing`: it is done. Throws: Error{refused} (the other side is not whom we let in, or does
  // not let us in: the message says which), Error{failed} (no TLS at all), Error{unreachable}.
  Want handshake();
  // Once the handshake is over.
  const Proven& proven() const noexcept { return proven_; }

  // Bytes read; 0: wait for what wanted_to_read() says, and not before: what came with the last
  // bytes may lie here already, and the socket does not tell. Throws: Error{unreachable} at the end
  // of the stream, Error{refused}: the other side's alert.
  std::size_t read(std::span<std::byte> bytes);
  Want wanted_to_read() const noexcept { return wanted_to_read_; }
  // Bytes taken: encrypted, and sent as far as the socket takes them; 0: wait until it can be
  // written. Pieces are gathered into full records. Throws: Error{unreachable}.
  std::size_t write(std::span<const std::span<const std::byte>> pieces);
  std::size_t write(std::span<const std::byte> bytes) { return write({&bytes, 1}); }
  // Sends what was taken and waits here. True: nothing is left.
  bool flush();
  bool has_unsent() const noexcept { return sent_ < out_.size(); }

 private:
  friend struct TlsCallbacks;

  [[noreturn]] void fail(int result);
  void require_proof();

  std::unique_ptr<ssl_st, void (*)(ssl_st*)> ssl_;
  const Role role_;
  const int socket_;
  const std::string who_;            // the other end, for messages
  std::optional<PresharedKey> key_;  // a client's
  FindKey find_key_;                 // a server's
  Proven proven_;
  Proven claimed_;  // by a key whose owner is not proven before the handshake is over
  Want wanted_to_read_ = Want::read;
  bool established_ = false;
  std::vector<std::byte> out_;  // encrypted, not sent
  std::size_t sent_ = 0;
  std::vector<std::byte> gathered_;
  std::string rejection_;  // why the other side's certificate was not taken
  int io_error_ = 0;       // errno of the socket
};

}  // namespace kvferry::session
