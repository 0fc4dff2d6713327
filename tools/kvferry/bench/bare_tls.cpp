#include "bench/bare_tls.hpp"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

constexpr std::size_t kCallBytes = std::size_t{1} << 20;
// Several records are read at once, which is faster than OpenSSL's default of one.
constexpr std::size_t kReadBytes = std::size_t{64} << 10;
constexpr unsigned kKeyBytes = 32;

void check(bool good, const char* what) {
  if (good) return;
  const unsigned long code = ERR_get_error();
  const char* const why = ERR_reason_error_string(code);
  throw Error(ErrorCode::resource,
              fmt::format("OpenSSL: {}: {}", what, why == nullptr ? "it failed" : why));
}

unsigned server_key(SSL*, const char*, unsigned char* key, unsigned) {
  std::memset(key, 1, kKeyBytes);
  return kKeyBytes;
}

unsigned client_key(SSL* ssl, const char*, char* identity, unsigned, unsigned char* key,
                    unsigned most) {
  std::strcpy(identity, "kvferry bench");
  return server_key(ssl, identity, key, most);
}

ssl_st* new_end(bool server, int socket) {
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(
      SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()), SSL_CTX_free);
  SSL_CTX* const ctx = context.get();
  check(ctx != nullptr && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
            SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") == 1 &&
            SSL_CTX_set_num_tickets(ctx, 0) == 1,
        "TLS 1.3 with AES-128-GCM");
  server ? SSL_CTX_set_psk_server_callback(ctx, server_key)
         : SSL_CTX_set_psk_client_callback(ctx, client_key);
  SSL_CTX_set_read_ahead(ctx, 1);
  SSL_CTX_set_default_read_buffer_len(ctx, kReadBytes);
  ssl_st* const ssl = SSL_new(ctx);
  check(ssl != nullptr && SSL_set_fd(ssl, socket) == 1, "SSL_new");
  return ssl;
}

template <typename Call>
bool all(const std::vector<iovec>& pieces, const Call& call) noexcept {
  for (const iovec& piece : pieces) {
    auto* const bytes = static_cast<std::byte*>(piece.iov_base);
    for (std::size_t at = 0, moved = 0; at < piece.iov_len; at += moved) {
      if (call(bytes + at, std::min(piece.iov_len - at, kCallBytes), moved) != 1) return false;
    }
  }
  return true;
}

}  // namespace

void BareTls::Free::operator()(ssl_st* ssl) const noexcept { SSL_free(ssl); }

std::pair<BareTls, BareTls> BareTls::over(int near, int far) {
  std::unique_ptr<ssl_st, Free> client(new_end(false, near)), server(new_end(true, far));
  int accepted = 0;
  std::jthread other([&] { accepted = SSL_accept(server.get()); });
  const int connected = SSL_connect(client.get());
  other.join();
  check(connected == 1 && accepted == 1, "the handshake");
  return {BareTls(std::move(client)), BareTls(std::move(server))};
}

bool BareTls::send_all(const std::vector<iovec>& pieces) noexcept {
  return all(pieces, [this](const void* bytes, std::size_t most, std::size_t& moved) {
    return SSL_write_ex(ssl_.get(), bytes, most, &moved);
  });
}

bool BareTls::receive_all(const std::vector<iovec>& pieces) noexcept {
  return all(pieces, [this](void* bytes, std::size_t most, std::size_t& moved) {
    return SSL_read_ex(ssl_.get(), bytes, most, &moved);
  });
}

std::string BareTls::version() {
  return fmt::format("OpenSSL {}", OpenSSL_version(OPENSSL_VERSION_STRING));
}

}  // namespace kvferry::cli::bench
