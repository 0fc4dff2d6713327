#include "session/keys.hpp"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "kvferry/error.hpp"

namespace kvferry::session {
namespace {

constexpr std::string_view kDataPrefix = "kvferry-data:";
constexpr std::size_t kIdDigits = 32;

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes)
    fmt::format_to(std::back_inserter(text), "{:02x}", std::to_integer<unsigned>(b));
  return text;
}

wire::Secret hmac(std::span<const std::byte> secret, std::string_view text) {
  wire::Secret out{};
  unsigned bytes = 0;
  if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(),
           reinterpret_cast<unsigned char*>(out.data()), &bytes) == nullptr ||
      bytes != out.size())
    throw Error(ErrorCode::resource, "HMAC-SHA256 failed: is the TLS library intact?");
  return out;
}

}  // namespace

void fill_random(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = ::getrandom(bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw Error(ErrorCode::resource, "the kernel gives no random bytes (getrandom)");
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
}

wire::Secret expand(std::span<const std::byte> secret, std::string_view label) {
  std::string text(label);
  text += '\x01';
  return hmac(secret, text);
}

bool same(std::span<const std::byte> a, std::span<const std::byte> b) noexcept {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

PresharedKey token_key(std::span<const std::byte> token_secret) {
  const auto name = expand(token_secret, "kvferry token identity");
  return {"kvferry-token:" + hex(std::span(name).first(16)),
          expand(token_secret, "kvferry token key")};
}

PresharedKey data_key(const wire::Id& session, const wire::Secret& secret, std::uint32_t stream) {
  return {fmt::format("{}{}:{}", kDataPrefix, hex(session), stream),
          expand(secret, fmt::format("kvferry data key {}", stream))};
}

bool parse_data_identity(std::string_view identity, wire::Id& session, std::uint32_t& stream) {
  if (!identity.starts_with(kDataPrefix)) return false;
  identity.remove_prefix(kDataPrefix.size());
  if (identity.size() < kIdDigits + 2 || identity[kIdDigits] != ':') return false;
  for (std::size_t i = 0; i < session.size(); ++i) {
    unsigned value = 0;
    const char* const at = identity.data() + 2 * i;
    if (std::from_chars(at, at + 2, value, 16).ptr != at + 2) return false;
    session[i] = static_cast<std::byte>(value);
  }
  const char* const end = identity.data() + identity.size();
  const auto [stop, error] = std::from_chars(identity.data() + kIdDigits + 1, end, stream);
  return error == std::errc{} && stop == end;
}

wire::Secret join_proof(const wire::Id& session, const wire::Secret& secret, std::uint32_t stream) {
  return expand(secret, fmt::format("kvferry join {} {}", hex(session), stream));
}

}  // namespace kvferry::session
