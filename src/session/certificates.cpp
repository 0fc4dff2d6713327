#include "session/certificates.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>

#include "kvferry/error.hpp"
#include "session/keys.hpp"
#include "wire/text.hpp"

namespace kvferry::session {
namespace {

using X509Ptr = std::unique_ptr<X509, void (*)(X509*)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;
using BioPtr = std::unique_ptr<BIO, int (*)(BIO*)>;

// The library's calls return 1 where they worked.
void require(bool worked, const char* what) {
  if (worked) return;
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* const reason = ERR_reason_error_string(code);
  throw Error(ErrorCode::resource,
              fmt::format("cannot make a certificate: {}: {}", what, reason ? reason : "unknown"));
}

// A name as it stands in a certificate: nothing that could be taken for syntax, nor a wildcard.
void check_host(const std::string& host) {
  const bool fits = !host.empty() && host.size() <= 253 &&
                    host.find_first_not_of(
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789.-_:") == std::string::npos;
  if (!fits)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("'{}' is neither a host's name nor a numeric address",
                            wire::printable(host, 80)));
}

bool is_address(const std::string& host) {
  std::array<unsigned char, 16> bytes{};
  return ::inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

std::string alternatives(const CertificateRequest& request) {
  std::string text = "DNS:" + request.name;
  for (const std::string& host : request.hosts) {
    check_host(host);
    if (is_address(host)) {
      text += ",IP:" + host;
    } else if (host != request.name) {
      if (host.find(':') != std::string::npos)
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("'{}' is no IPv6 address, and names have no colon", host));
      text += ",DNS:" + host;
    }
  }
  return text;
}

void add_extension(X509& certificate, X509& issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, void (*)(X509_EXTENSION*)> extension(
      X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()), X509_EXTENSION_free);
  require(extension != nullptr && X509_add_ext(&certificate, extension.get(), -1) == 1,
          OBJ_nid2sn(kind));
}

KeyPtr new_key() {
  KeyPtr key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  require(key != nullptr, "a P-256 key");
  return key;
}

void set_serial(X509& certificate) {
  auto bytes = draw<std::array<std::byte, 16>>();
  bytes[0] &= std::byte{0x7F};  // positive
  const std::unique_ptr<BIGNUM, void (*)(BIGNUM*)> number(
      BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), nullptr),
      BN_free);
  require(number != nullptr &&
              BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(&certificate)) != nullptr,
          "a serial number");
}

X509Ptr begin(const CertificateRequest& request, EVP_PKEY& key) {
  if (!wire::is_name(request.name))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("'{}' is not a name; use 1 to 64 of A-Z a-z 0-9 . _ -",
                            wire::printable(request.name, 80)));
  if (request.to <= request.from)
    throw Error(ErrorCode::invalid_argument, "a certificate must not expire before it is valid");
  X509Ptr certificate(X509_new(), X509_free);
  require(certificate != nullptr && X509_set_version(certificate.get(), X509_VERSION_3) == 1,
          "version 3");
  set_serial(*certificate);
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  require(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                     reinterpret_cast<const unsigned char*>(request.name.c_str()),
                                     -1, -1, 0) == 1,
          "the name");
  const auto seconds = [](auto time) { return std::chrono::system_clock::to_time_t(time); };
  require(ASN1_TIME_set(X509_getm_notBefore(certificate.get()), seconds(request.from)) != nullptr &&
              ASN1_TIME_set(X509_getm_notAfter(certificate.get()), seconds(request.to)) != nullptr,
          "its times");
  require(X509_set_pubkey(certificate.get(), &key) == 1, "the public key");
  return certificate;
}

void sign(X509& certificate, X509& issuer, EVP_PKEY& key) {
  require(X509_set_issuer_name(&certificate, X509_get_subject_name(&issuer)) == 1, "the issuer");
  require(X509_sign(&certificate, &key, EVP_sha256()) > 0, "the signature");
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(bytes)};
}

CertifiedKey to_pem(X509& certificate, EVP_PKEY& key) {
  const BioPtr one(BIO_new(BIO_s_mem()), BIO_free), two(BIO_new(BIO_s_secmem()), BIO_free);
  require(PEM_write_bio_X509(one.get(), &certificate) == 1, "PEM");
  require(
      PEM_write_bio_PKCS8PrivateKey(two.get(), &key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
      "PEM");
  return {text_of(one.get()), text_of(two.get())};
}

BioPtr reader(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free};
}

}  // namespace

CertifiedKey make_authority(const CertificateRequest& request) {
  const KeyPtr key = new_key();
  const X509Ptr certificate = begin(request, *key);
  sign(*certificate, *certificate, *key);  // its names, which the extensions look at
  add_extension(*certificate, *certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(*certificate, *certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(*certificate, *certificate, NID_subject_key_identifier, "hash");
  sign(*certificate, *certificate, *key);
  return to_pem(*certificate, *key);
}

CertifiedKey make_certificate(const CertificateRequest& request, const CertifiedKey& authority) {
  const X509Ptr issuer(
      PEM_read_bio_X509(reader(authority.certificate).get(), nullptr, nullptr, nullptr), X509_free);
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  const KeyPtr issuer_key(
      PEM_read_bio_PrivateKey(reader(authority.key).get(), nullptr, no_passphrase, nullptr),
      EVP_PKEY_free);
  ERR_clear_error();
  if (issuer == nullptr || issuer_key == nullptr)
    throw Error(ErrorCode::invalid_argument,
                "the authority's certificate or key is no PEM, or the key has a passphrase");
  if (X509_check_private_key(issuer.get(), issuer_key.get()) != 1 ||
      X509_check_ca(issuer.get()) == 0)
    throw Error(ErrorCode::invalid_argument,
                "the authority's key does not belong to its certificate, or that may not sign");
  const KeyPtr key = new_key();
  const X509Ptr certificate = begin(request, *key);
  add_extension(*certificate, *issuer, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(*certificate, *issuer, NID_key_usage, "critical,digitalSignature");
  add_extension(*certificate, *issuer, NID_ext_key_usage, "serverAuth,clientAuth");
  add_extension(*certificate, *issuer, NID_subject_key_identifier, "hash");
  add_extension(*certificate, *issuer, NID_authority_key_identifier, "keyid");
  add_extension(*certificate, *issuer, NID_subject_alt_name, alternatives(request));
  sign(*certificate, *issuer, *issuer_key);
  return to_pem(*certificate, *key);
}

}  // namespace kvferry::session
