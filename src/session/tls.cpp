#include "session/tls.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "kvferry/error.hpp"
#include "session/tls_bio.hpp"
#include "session/tls_failure.hpp"

namespace kvferry::session {
namespace {

// TLS takes at most this much in one record.
constexpr std::size_t kRecordBytes = 16u << 10;
// Encrypted bytes are sent in batches of this size: a call into the kernel for each record would
// cost as much as encrypting it.
constexpr std::size_t kBatchBytes = 8 * kRecordBytes;

}  // namespace

Tls::Tls(ssl_st* ssl, Role role, int socket, std::string who)
    : ssl_(ssl, SSL_free), role_(role), socket_(socket), who_(std::move(who)) {
  BIO* const bio = make_socket_bio({&out_, socket_, &io_error_});
  SSL_set_bio(ssl, bio, bio);  // owns it
  SSL_set_app_data(ssl, this);
  role == Role::server ? SSL_set_accept_state(ssl) : SSL_set_connect_state(ssl);
}

Tls::~Tls() = default;

namespace {

ssl_st* new_ssl(ssl_ctx_st& context) {
  ERR_clear_error();
  ssl_st* const ssl = SSL_new(&context);
  if (ssl == nullptr) throw Error(ErrorCode::resource, "TLS: out of memory");
  return ssl;
}

}  // namespace

std::unique_ptr<Tls> Tls::server(ssl_ctx_st& context, int socket, std::string who,
                                 FindKey find_key) {
  auto tls = std::make_unique<Tls>(new_ssl(context), Role::server, socket, std::move(who));
  tls->find_key_ = std::move(find_key);
  return tls;
}

std::unique_ptr<Tls> Tls::client(ssl_ctx_st& context, int socket, std::string who,
                                 PresharedKey key) {
  auto tls = std::make_unique<Tls>(new_ssl(context), Role::client, socket, std::move(who));
  tls->key_ = std::move(key);
  return tls;
}

std::unique_ptr<Tls> Tls::client(ssl_ctx_st& context, int socket, std::string who,
                                 const std::string& expected) {
  auto tls = std::make_unique<Tls>(new_ssl(context), Role::client, socket, std::move(who));
  X509_VERIFY_PARAM* const rules = SSL_get0_param(tls->ssl_.get());
  X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  // An address is not a name: each is looked for in its own field.
  if (X509_VERIFY_PARAM_set1_ip_asc(rules, expected.c_str()) != 1 &&
      X509_VERIFY_PARAM_set1_host(rules, expected.c_str(), expected.size()) != 1)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("'{}' is neither a host's name nor an address", expected));
  ERR_clear_error();
  return tls;
}

Tls::Want Tls::handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  // The last word of a handshake that failed is worth sending, too.
  const bool sent = flush();
  if (result == 1) {
    if (!sent) return Want::write;
    if (!established_) require_proof();
    established_ = true;
    find_key_ = nullptr;
    return Want::nothing;
  }
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_READ) return sent ? Want::read : Want::write;
  if (error == SSL_ERROR_WANT_WRITE) return Want::write;
  fail(result);
}

// What the callbacks believed during the handshake counts only now: the other side has proved that
// it holds the key, or the certificate's.
void Tls::require_proof() {
  if (SSL_version(ssl_.get()) != TLS1_3_VERSION)
    throw Error(ErrorCode::refused, fmt::format("{} does not speak TLS 1.3", who_));
  if (SSL_session_reused(ssl_.get()) == 1) {
    proven_ = claimed_;
    if (role_ == Role::client) proven_.by = Proven::By::token;
    return;
  }
  if (key_)  // a client with a key that the other side did without: a downgrade
    throw Error(ErrorCode::refused,
                fmt::format("{} did not prove that it knows our key; nothing was sent", who_));
  X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr || SSL_get_verify_result(ssl_.get()) != X509_V_OK)
    throw Error(ErrorCode::refused, fmt::format("{} has proved nothing", who_));
  proven_ = {};
  proven_.by = Proven::By::certificate;
  proven_.name = name_of_certificate(certificate);
}

std::size_t Tls::read(std::span<std::byte> bytes) {
  ERR_clear_error();
  // An answer to a change of keys may wait to be sent.
  if (has_unsent()) flush();
  std::size_t got = 0;
  const int result = SSL_read_ex(ssl_.get(), bytes.data(), bytes.size(), &got);
  if (result == 1) return got;
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
    wanted_to_read_ = error == SSL_ERROR_WANT_READ ? Want::read : Want::write;
    flush();
    return 0;
  }
  fail(result);
}

std::size_t Tls::write(std::span<const std::span<const std::byte>> pieces) {
  std::size_t taken = 0;
  std::size_t piece = 0, offset = 0;
  while (flush()) {
    // One record's worth: in place where a piece is long enough, else put together.
    while (piece < pieces.size() && offset == pieces[piece].size()) ++piece, offset = 0;
    if (piece == pieces.size()) break;
    while (out_.size() < kBatchBytes && piece < pieces.size()) {
      std::span<const std::byte> record = pieces[piece].subspan(offset);
      if (record.size() >= kRecordBytes || piece + 1 == pieces.size()) {
        record = record.first(std::min(record.size(), kRecordBytes));
        offset += record.size();
      } else {
        gathered_.clear();
        while (piece < pieces.size() && gathered_.size() < kRecordBytes) {
          const auto rest = pieces[piece].subspan(offset);
          const auto part = rest.first(std::min(rest.size(), kRecordBytes - gathered_.size()));
          gathered_.insert(gathered_.end(), part.begin(), part.end());
          offset += part.size();
          if (offset == pieces[piece].size()) ++piece, offset = 0;
        }
        record = gathered_;
      }
      while (piece < pieces.size() && offset == pieces[piece].size()) ++piece, offset = 0;
      if (record.empty()) continue;
      ERR_clear_error();
      std::size_t written = 0;
      // The BIO takes whole records, always: there is nothing to retry.
      const int result = SSL_write_ex(ssl_.get(), record.data(), record.size(), &written);
      if (result != 1 || written != record.size()) fail(result);
      taken += written;
    }
  }
  return taken;
}

bool Tls::flush() {
  while (sent_ < out_.size()) {
    const ssize_t sent =
        ::send(socket_, out_.data() + sent_, out_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
      // While the other side's last word may still lie in the socket, reading finds it.
      if (!established_) return true;
      throw Error(ErrorCode::unreachable,
                  fmt::format("the connection broke: {}", std::strerror(errno)));
    }
    sent_ += static_cast<std::size_t>(sent);
  }
  out_.clear();
  sent_ = 0;
  return true;
}

void Tls::fail(int result) {
  TlsFailure failure;
  failure.ssl = ssl_.get();
  failure.result = result;
  failure.is_server = role_ == Role::server;
  failure.established = established_;
  failure.by_key = key_.has_value();
  failure.who = who_;
  failure.rejection = rejection_;
  failure.io_error = io_error_;
  explain_and_throw(failure);
}

}  // namespace kvferry::session
