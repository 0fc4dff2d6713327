#include "session/tls_failure.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstring>
#include <ctime>
#include <memory>

#include "kvferry/error.hpp"
#include "wire/text.hpp"

namespace kvferry::session {
namespace {

// What the other side's alert means, said to a client.
std::string why_turned_away(const TlsFailure& failure, int reason) {
  switch (reason - SSL_AD_REASON_OFFSET) {
    case SSL_AD_CERTIFICATE_EXPIRED: return "our certificate has expired; make a new one";
    case SSL_AD_CERTIFICATE_REQUIRED:
      return "it wants a certificate; give --tls-cert and --tls-key";
    case SSL_AD_UNKNOWN_CA: return "our certificate is not signed by its CA";
    case SSL_AD_CERTIFICATE_REVOKED: return "our certificate was revoked";
    case SSL_AD_PROTOCOL_VERSION: return "it does not speak TLS 1.3";
    default: break;
  }
  return failure.by_key ? "it does not know our token; both sides need the same --token-file"
                        : "it does not accept our certificate";
}

bool is_alert(int reason) {
  return reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256;
}

// On a server everything about strangers is one line of the log: short, and without their words.
std::string why_client_fails(const TlsFailure& failure, int reason) {
  if (is_alert(reason))
    return fmt::format("the client broke off ({})",
                       SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET));
  switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return failure.rejection;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return "the client has no certificate";
    case SSL_R_BINDER_DOES_NOT_VERIFY: return "the client does not have the token";
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_CERTIFICATE_SET: return "the client has no token";
    case SSL_R_UNSUPPORTED_PROTOCOL: return "the client does not speak TLS 1.3";
    default: break;
  }
  const char* const text = ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, reason));
  return fmt::format("no TLS handshake ({})", text == nullptr ? "malformed" : text);
}

std::string why_server_fails(const TlsFailure& failure, int reason) {
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
    return failure.by_key ? "it has a certificate where we have a token; both sides need the same "
                            "kind of credential"
                          : failure.rejection;
  const char* const text = ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, reason));
  return fmt::format("no TLS handshake ({})", text == nullptr ? "malformed" : text);
}

std::string entry_text(X509_NAME* subject) {
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return {};
  const ASN1_STRING* const value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
          static_cast<std::size_t>(ASN1_STRING_length(value))};
}

std::string alternative_text(X509* certificate) {
  const std::unique_ptr<GENERAL_NAMES, void (*)(GENERAL_NAMES*)> names(
      static_cast<GENERAL_NAMES*>(
          X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
      GENERAL_NAMES_free);
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS) continue;
    return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
            static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName))};
  }
  return {};
}

}  // namespace

std::string time_text(const ASN1_TIME* time) {
  std::tm fields{};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return "an unknown time";
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", fields.tm_year + 1900, fields.tm_mon + 1,
                     fields.tm_mday, fields.tm_hour, fields.tm_min);
}

std::string why_unverified(long verdict, X509* certificate) {
  const std::string name = certificate == nullptr
                               ? "certificate"
                               : fmt::format("certificate '{}'", name_of_certificate(certificate));
  switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return fmt::format("its {} expired on {}; make a new one (kvferry keygen certificate)", name,
                         time_text(X509_get0_notAfter(certificate)));
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return fmt::format("its {} is valid only from {} on; compare the clocks", name,
                         time_text(X509_get0_notBefore(certificate)));
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return fmt::format(
          "its {} is for another host than the one that was dialled; make one with "
          "--host, or name the one expected with --tls-name",
          name);
    default:
      return fmt::format("its {} is not signed by our CA ({}); both sides need the same --tls-ca",
                         name, X509_verify_cert_error_string(verdict));
  }
}

std::string name_of_certificate(X509* certificate) {
  std::string name = entry_text(X509_get_subject_name(certificate));
  if (name.empty()) name = alternative_text(certificate);
  return name.empty() ? "(nameless)" : wire::printable(name, wire::kMaxNameBytes);
}

void explain_and_throw(const TlsFailure& failure) {
  const int kind = SSL_get_error(failure.ssl, failure.result);
  const unsigned long code = ERR_peek_error();
  ERR_clear_error();
  if (kind != SSL_ERROR_SSL || code == 0) {
    if (failure.established)
      throw Error(ErrorCode::unreachable,
                  failure.io_error == 0
                      ? "the peer closed the connection"
                      : fmt::format("the connection broke: {}", std::strerror(failure.io_error)));
    throw Error(ErrorCode::unreachable,
                fmt::format("{} ended the connection during the TLS handshake", failure.who));
  }
  const int reason = ERR_GET_REASON(code);
  if (failure.is_server) throw Error(ErrorCode::refused, why_client_fails(failure, reason));
  if (is_alert(reason))
    throw Error(ErrorCode::refused,
                fmt::format("{} turns us away: {}", failure.who, why_turned_away(failure, reason)));
  throw Error(ErrorCode::refused, fmt::format("{} is not let near: {}", failure.who,
                                              why_server_fails(failure, reason)));
}

}  // namespace kvferry::session
