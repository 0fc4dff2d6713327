#pragma once

#include <span>
#include <string>
#include <string_view>

#include "session/tls.hpp"
#include "wire/messages.hpp"

namespace kvferry::session {

// From the kernel. Throws: Error{resource}.
void fill_random(std::span<std::byte> bytes);
template <typename Bytes>
Bytes draw() {
  Bytes bytes{};
  fill_random(bytes);
  return bytes;
}

// One block of HKDF-Expand with SHA-256 (RFC 5869): HMAC(secret, label || 0x01). Requires: the
// secret has its full entropy already, as random bytes do.
wire::Secret expand(std::span<const std::byte> secret, std::string_view label);
// Compares in the same time whatever differs.
bool same(std::span<const std::byte> a, std::span<const std::byte> b) noexcept;

// How a token takes part in TLS. Its name on the wire is made from the secret, too, so that it
// tells a listener in between nothing.
PresharedKey token_key(std::span<const std::byte> token_secret);
// How a stream for data does: its key is made from the session's secret, its name says which.
PresharedKey data_key(const wire::Id& session, const wire::Secret& secret, std::uint32_t stream);
// The session and stream of such a name; false: it is none.
bool parse_data_identity(std::string_view identity, wire::Id& session, std::uint32_t& stream);
// What a Join proves the session's secret with.
wire::Secret join_proof(const wire::Id& session, const wire::Secret& secret, std::uint32_t stream);

}  // namespace kvferry::session
