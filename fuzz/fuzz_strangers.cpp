#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string_view>

#include "base/unique_fd.hpp"
#include "kvferry/error.hpp"
#include "session/data_sessions.hpp"
#include "session/keys.hpp"
#include "session/test_credentials.hpp"
#include "session/tls_context.hpp"
#include "session/token_file.hpp"

// What strangers send before they have proved anything, and the files that say who is none. The
// first byte selects: 0 a token file, 1 the name of a stream for data, 2 a TLS handshake with a
// server that has a token, 3 with one that has a certificate.
namespace {

using namespace kvferry;
using namespace kvferry::session;

[[noreturn]] void broken(const char* what) {
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

struct Servers {
  TestCredentials files;
  std::array<std::shared_ptr<const TlsContext>, 2> contexts{load(files.token("a")),
                                                            load(files.certificate("b"))};
  DataSessions sessions;

  Servers() { sessions.open(1); }
  static std::shared_ptr<const TlsContext> load(const Credentials& credentials) {
    return TlsContext::load(credentials, [](const std::string&) {});
  }
};

Servers& servers() {
  static Servers all;
  return all;
}

void fuzz_tokens(std::string_view text) {
  try {
    for (const Token& token : parse_tokens(text, "file")) {
      if (token.secret.size() < kMinSecretBytes) broken("a secret that is too short");
      const auto again = parse_tokens(token.name + " " + to_base64(token.secret), "again");
      if (again.size() != 1 || again[0].secret != token.secret) broken("a token changed");
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_argument) broken("parse_tokens() throws that alone");
  }
}

void fuzz_identity(std::string_view text) {
  wire::Id session{};
  std::uint32_t stream = 0;
  if (!parse_data_identity(text, session, stream)) return;
  wire::Id back{};
  std::uint32_t again = 0;
  if (!parse_data_identity(data_key(session, {}, stream).identity, back, again) ||
      back != session || again != stream)
    broken("an identity changed");
}

void fuzz_handshake(const TlsContext& context, std::span<const std::byte> bytes) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0)
    return;
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const auto tls = context.accept(ours.get(), "somebody", [](std::string_view identity) {
    return servers().sessions.find(identity);
  });
  [[maybe_unused]] const auto sent = ::send(theirs.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  ::shutdown(theirs.get(), SHUT_WR);
  try {
    for (int i = 0; i < 10; ++i)
      if (tls->handshake() == Tls::Want::nothing) broken("a stranger came in");
  } catch (const Error& error) {
    if (error.code() != ErrorCode::refused && error.code() != ErrorCode::unreachable)
      broken("handshake() throws refused or unreachable alone");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: fuzz_tokens(text); break;
    case 1: fuzz_identity(text); break;
    default:
      fuzz_handshake(*servers().contexts[data[0] % 2],
                     std::as_bytes(std::span(text.data(), text.size())));
  }
  return 0;
}
