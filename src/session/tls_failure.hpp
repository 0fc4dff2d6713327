#pragma once

#include <openssl/ssl.h>

#include <string>

namespace kvferry::session {

// A TLS call that went wrong.
struct TlsFailure {
  SSL* ssl = nullptr;
  int result = 0;  // of the call
  bool is_server = false;
  bool established = false;  // the handshake was over
  bool by_key = false;       // a client's: it has a token, not a certificate
  std::string who;           // the other end
  std::string rejection;     // why we did not take its certificate
  int io_error = 0;
};

// Says who refused whom, and why, in words of ours. Throws: Error{refused}, Error{failed} (bytes
// that are no TLS), Error{unreachable}.
[[noreturn]] void explain_and_throw(const TlsFailure& failure);

// Why a certificate that was shown to us will not do.
std::string why_unverified(long verdict, X509* certificate);

// "2026-11-23 01:16 UTC"
std::string time_text(const ASN1_TIME* time);

// The common name, or else the first name of the subject's alternatives; never empty, and always
// printable.
std::string name_of_certificate(X509* certificate);

}  // namespace kvferry::session
