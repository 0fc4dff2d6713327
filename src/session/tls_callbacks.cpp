#include "session/tls_callbacks.hpp"

#include <openssl/rand.h>

#include <array>
#include <string_view>

#include "session/tls.hpp"
#include "session/tls_failure.hpp"

namespace kvferry::session {
namespace {

// TLS_AES_128_GCM_SHA256: the hash belongs to the key; the cipher is agreed on by itself, among
// those of the same hash.
constexpr std::array<unsigned char, 2> kKeyCipher = {0x13, 0x01};

// TLS 1.3 takes a pre-shared key in the dress of a session. Null: out of memory.
SSL_SESSION* session_with(SSL* ssl, const wire::Secret& key) {
  SSL_SESSION* const session = SSL_SESSION_new();
  if (session == nullptr) return nullptr;
  const auto* const bytes = reinterpret_cast<const unsigned char*>(key.data());
  if (SSL_SESSION_set1_master_key(session, bytes, key.size()) == 1 &&
      SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, kKeyCipher.data())) == 1 &&
      SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1)
    return session;
  SSL_SESSION_free(session);
  return nullptr;
}

}  // namespace

// Called from C: nothing may be thrown through it.
int TlsCallbacks::find(SSL* ssl, const unsigned char* identity, std::size_t bytes,
                       SSL_SESSION** session, bool certificates) {
  *session = nullptr;
  auto* const tls = static_cast<Tls*>(SSL_get_app_data(ssl));
  try {
    KnownKey known;
    const std::string_view name(reinterpret_cast<const char*>(identity), bytes);
    if (auto found = tls->find_key_ ? tls->find_key_(name) : std::nullopt) {
      known = std::move(*found);
    } else if (certificates) {
      return 1;
    } else if (RAND_bytes(reinterpret_cast<unsigned char*>(known.key.data()),
                          static_cast<int>(known.key.size())) != 1) {
      return 0;
    }
    *session = session_with(ssl, known.key);
    tls->claimed_ = std::move(known.proves);
  } catch (...) {
    return 0;
  }
  return *session != nullptr ? 1 : 0;
}

int TlsCallbacks::use(SSL* ssl, const EVP_MD* digest, const unsigned char** identity,
                      std::size_t* bytes, SSL_SESSION** session) {
  *identity = nullptr;
  *bytes = 0;
  *session = nullptr;
  const auto* const tls = static_cast<const Tls*>(SSL_get_app_data(ssl));
  if (!tls->key_) return 1;
  // Asked again after the server chose a cipher of another hash than our key's.
  if (digest != nullptr && EVP_MD_is_a(digest, "SHA256") != 1) return 1;
  *session = session_with(ssl, tls->key_->key);
  if (*session == nullptr) return 0;
  *identity = reinterpret_cast<const unsigned char*>(tls->key_->identity.data());
  *bytes = tls->key_->identity.size();
  return 1;
}

int TlsCallbacks::judge(int good, X509_STORE_CTX* check) {
  if (good == 1) return 1;
  auto* const ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(check, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* const tls = ssl == nullptr ? nullptr : static_cast<Tls*>(SSL_get_app_data(ssl));
  try {
    const int verdict = X509_STORE_CTX_get_error(check);
    // What has expired may be the authority; for everything else the name of the peer's own tells
    // more.
    const bool of_time =
        verdict == X509_V_ERR_CERT_HAS_EXPIRED || verdict == X509_V_ERR_CERT_NOT_YET_VALID;
    X509* const certificate =
        of_time ? X509_STORE_CTX_get_current_cert(check) : X509_STORE_CTX_get0_cert(check);
    if (tls != nullptr) tls->rejection_ = why_unverified(verdict, certificate);
  } catch (...) {
    // It is refused all the same.
  }
  return 0;
}

void TlsCallbacks::serve_keys(SSL_CTX& context, bool certificates) {
  // A key is a session to the library, and a server that also checks certificates takes sessions of
  // a context with a name only.
  constexpr std::array<unsigned char, 7> kName = {'k', 'v', 'f', 'e', 'r', 'r', 'y'};
  SSL_CTX_set_session_id_context(&context, kName.data(), kName.size());
  if (certificates) {
    SSL_CTX_set_psk_find_session_callback(
        &context, [](SSL* ssl, const unsigned char* identity, std::size_t bytes,
                     SSL_SESSION** session) { return find(ssl, identity, bytes, session, true); });
  } else {
    SSL_CTX_set_psk_find_session_callback(
        &context, [](SSL* ssl, const unsigned char* identity, std::size_t bytes,
                     SSL_SESSION** session) { return find(ssl, identity, bytes, session, false); });
  }
}

void TlsCallbacks::offer_key(SSL_CTX& context) {
  SSL_CTX_set_psk_use_session_callback(&context, use);
}

}  // namespace kvferry::session
