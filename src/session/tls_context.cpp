#include "session/tls_context.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <system_error>

#include "kvferry/error.hpp"
#include "session/keys.hpp"
#include "session/pem_files.hpp"
#include "session/tls_callbacks.hpp"
#include "session/tls_failure.hpp"

namespace kvferry::session {
namespace {

// AES-128 first: with AES instructions it is the fastest, and its hash is that of our keys.
constexpr const char* kCiphers =
    "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
constexpr const char* kKeyCiphers = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
// Several records are read at once.
constexpr std::size_t kReadBytes = 64u << 10;
constexpr int kWarnDays = 7;

std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)> make_context(const SSL_METHOD* method,
                                                                const char* ciphers) {
  // The library cleans up at exit() unless told not to, while a thread of ours may still be using
  // it.
  OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, nullptr);
  std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)> context(SSL_CTX_new(method), SSL_CTX_free);
  SSL_CTX* const ctx = context.get();
  if (ctx == nullptr || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(ctx, ciphers) != 1)
    throw Error(ErrorCode::resource, "the TLS library refuses TLS 1.3: " + first_tls_error());
  // No resumption: a ticket would outlive the credential it was given for.
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               // Every length is in our own frames: an early end is no surprise.
                               SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS |
                            // What leads to the authority is in the certificate's own file.
                            SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_read_ahead(ctx, 1);
  SSL_CTX_set_default_read_buffer_len(ctx, kReadBytes);
  return context;
}

using Certificate = std::unique_ptr<X509, void (*)(X509*)>;

// Within the context: says what is wrong with our own certificate before a peer does.
void check_own_certificate(SSL_CTX* ctx, const Credentials& files, const TlsContext::Warn& warn) {
  X509* const own = SSL_CTX_get0_certificate(ctx);
  std::unique_ptr<X509_STORE_CTX, void (*)(X509_STORE_CTX*)> check(X509_STORE_CTX_new(),
                                                                   X509_STORE_CTX_free);
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(ctx, &chain);
  if (X509_STORE_CTX_init(check.get(), SSL_CTX_get_cert_store(ctx), own, chain) != 1)
    throw Error(ErrorCode::resource, "TLS: out of memory");
  const bool good = X509_verify_cert(check.get()) == 1;
  const int verdict = X509_STORE_CTX_get_error(check.get());
  ERR_clear_error();
  if (!good && verdict == X509_V_ERR_CERT_HAS_EXPIRED)
    refuse_file(
        {"--tls-cert", files.certificate},
        fmt::format("{} expired on {}; make a new one (kvferry keygen certificate)",
                    X509_STORE_CTX_get_current_cert(check.get()) == own
                        ? fmt::format("certificate '{}'", name_of_certificate(own))
                        : "the authority that signed it",
                    time_text(X509_get0_notAfter(X509_STORE_CTX_get_current_cert(check.get())))));
  if (!good && verdict == X509_V_ERR_CERT_NOT_YET_VALID)
    refuse_file({"--tls-cert", files.certificate},
                fmt::format("certificate '{}' is valid only from {} on; is the clock right?",
                            name_of_certificate(own), time_text(X509_get0_notBefore(own))));
  if (!good)
    refuse_file({"--tls-cert", files.certificate},
                fmt::format("it is not signed by the authority in {} ({})", files.authority,
                            X509_verify_cert_error_string(verdict)));
  int days = 0, seconds = 0;
  if (ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(own)) == 1 && days < kWarnDays)
    warn(fmt::format("certificate '{}' ({}) expires on {}; make a new one in time",
                     name_of_certificate(own), files.certificate,
                     time_text(X509_get0_notAfter(own))));
}

void use_files(SSL_CTX* ctx, const Credentials& files) {
  use_certificate(ctx, {"--tls-cert", files.certificate}, {"--tls-key", files.key}, true);
  use_authority(ctx, {"--tls-ca", files.authority});
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, TlsCallbacks::judge);
}

}  // namespace

TlsContext::TlsContext() : server_(nullptr, SSL_CTX_free), client_(nullptr, SSL_CTX_free) {}

std::shared_ptr<const TlsContext> TlsContext::load(const Credentials& credentials,
                                                   const Warn& warn) {
  if (credentials.empty()) {
    if (credentials.plain_data)
      throw Error(ErrorCode::invalid_argument,
                  "Credentials::plain_data (--plain-data) needs a credential: without one nothing "
                  "is encrypted anyway");
    return nullptr;
  }
  const bool some = !credentials.certificate.empty() || !credentials.key.empty() ||
                    !credentials.authority.empty();
  const bool all = !credentials.certificate.empty() && !credentials.key.empty() &&
                   !credentials.authority.empty();
  if (some && !credentials.token_file.empty())
    throw Error(ErrorCode::invalid_argument,
                "credentials: give a token (--token-file) or a certificate (--tls-cert, --tls-key, "
                "--tls-ca), not both");
  if (some && !all)
    throw Error(ErrorCode::invalid_argument,
                "credentials: a certificate needs all three of --tls-cert, --tls-key and --tls-ca");
  ERR_clear_error();  // what others left
  std::shared_ptr<TlsContext> context(new TlsContext);
  context->plain_data_ = credentials.plain_data;
  if (some) {
    context->load_certificate(credentials, warn);
  } else {
    context->load_tokens(credentials.token_file);
  }
  return context;
}

bool TlsContext::may_name(std::string_view credential) const noexcept {
  return tokens_.empty() || credential == "*" ||
         std::ranges::find(tokens_, credential, &NamedKey::name) != tokens_.end();
}

std::string TlsContext::token_names() const {
  std::string names;
  for (const NamedKey& token : tokens_) names += (names.empty() ? "" : ", ") + token.name;
  return names;
}

void TlsContext::load_tokens(const std::string& path) {
  security_ = wire::Security::token;
  token_file_ = path;
  for (const Token& token : read_token_file(path))
    tokens_.push_back({token.name, token_key(token.secret)});
  server_ = make_context(TLS_server_method(), kKeyCiphers);
  TlsCallbacks::serve_keys(*server_, false);
  client_ = make_key_client();
}

void TlsContext::load_certificate(const Credentials& credentials, const Warn& warn) {
  security_ = wire::Security::certificate;
  server_ = make_context(TLS_server_method(), kCiphers);
  client_ = make_context(TLS_client_method(), kCiphers);
  use_files(server_.get(), credentials);
  use_files(client_.get(), credentials);
  check_own_certificate(client_.get(), credentials, warn);
  TlsCallbacks::serve_keys(*server_, true);
}

std::optional<KnownKey> TlsContext::find_token(std::string_view identity) const {
  for (const NamedKey& token : tokens_) {
    if (token.key.identity != identity) continue;
    KnownKey known;
    known.key = token.key.key;
    known.proves.by = Proven::By::token;
    known.proves.name = token.name;
    return known;
  }
  return std::nullopt;
}

std::unique_ptr<Tls> TlsContext::accept(int socket, std::string who, FindKey find_session) const {
  return Tls::server(*server_, socket, std::move(who),
                     [this, find_session = std::move(find_session)](std::string_view identity) {
                       auto found = find_session(identity);
                       return found ? found : find_token(identity);
                     });
}

std::unique_ptr<Tls> TlsContext::connect(int socket, std::string who,
                                         const std::string& expected) const {
  if (security_ == wire::Security::certificate)
    return Tls::client(*client_, socket, std::move(who), expected);
  if (tokens_.size() != 1)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("token file {}: to connect, give a file with one token; this one has "
                            "{}",
                            token_file_, tokens_.size()));
  return Tls::client(*client_, socket, std::move(who), tokens_.front().key);
}

std::string tls_library() { return OpenSSL_version(OPENSSL_VERSION); }

std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)> make_key_client() {
  auto context = make_context(TLS_client_method(), kKeyCiphers);
  // There is no authority in it: a server that shows a certificate instead of the key is refused.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  TlsCallbacks::offer_key(*context);
  return context;
}

}  // namespace kvferry::session
