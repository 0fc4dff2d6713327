#pragma once

#include <openssl/ssl.h>

namespace kvferry::session {

// What the TLS library calls during a handshake to find the keys of either side.
struct TlsCallbacks {
  // Answers with a key that nobody has where the client's is not known: then "unknown" and "wrong"
  // fail at the same place, in the same way.
  static void serve_keys(SSL_CTX& context, bool certificates);
  static void offer_key(SSL_CTX& context);

  // Remembers why a certificate was not taken: afterwards it is gone.
  static int judge(int good, X509_STORE_CTX* check);

 private:
  static int find(SSL* ssl, const unsigned char* identity, std::size_t bytes, SSL_SESSION** session,
                  bool certificates);
  static int use(SSL* ssl, const EVP_MD* digest, const unsigned char** identity, std::size_t* bytes,
                 SSL_SESSION** session);
};

}  // namespace kvferry::session
