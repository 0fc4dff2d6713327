#include "session/pem_files.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <memory>
#include <system_error>

#include "kvferry/error.hpp"
#include "session/token_file.hpp"

namespace kvferry::session {
namespace {

using Bio = std::unique_ptr<BIO, int (*)(BIO*)>;
using Key = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;

Key read_key(BIO* bio) {
  // Nobody is there to ask for a passphrase.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  return {bio == nullptr ? nullptr : PEM_read_bio_PrivateKey(bio, nullptr, no_passphrase, nullptr),
          EVP_PKEY_free};
}
Key read_key(const PemFile& key, bool secret) {
  if (!secret) return read_key(Bio(BIO_new_file(key.path.c_str(), "r"), BIO_free).get());
  const std::string text = read_secret_file(key.path, key.called);
  return read_key(Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free).get());
}

}  // namespace

void refuse_file(const PemFile& file, std::string_view why) {
  throw Error(ErrorCode::invalid_argument, fmt::format("{} {}: {}", file.called, file.path, why));
}

// It has the cause; those after it say "system lib".
std::string first_tls_error() {
  const unsigned long code = ERR_peek_error();
  ERR_clear_error();
  if (ERR_SYSTEM_ERROR(code)) return std::generic_category().message(ERR_GET_REASON(code));
  const char* const text = code == 0 ? nullptr : ERR_reason_error_string(code);
  return text == nullptr ? "unknown error" : text;
}

void use_authority(ssl_ctx_st* ctx, const PemFile& authority) {
  if (SSL_CTX_load_verify_file(ctx, authority.path.c_str()) != 1)
    refuse_file(authority, "no certificate can be read from it (PEM): " + first_tls_error());
}

void use_certificate(ssl_ctx_st* ctx, const PemFile& certificate, const PemFile& key, bool secret) {
  if (SSL_CTX_use_certificate_chain_file(ctx, certificate.path.c_str()) != 1)
    refuse_file(certificate, "no certificate can be read from it (PEM): " + first_tls_error());
  const Key read = read_key(key, secret);
  if (read == nullptr)
    refuse_file(key, "no private key can be read from it (PEM, without a passphrase): " +
                         first_tls_error());
  if (SSL_CTX_use_PrivateKey(ctx, read.get()) != 1 || SSL_CTX_check_private_key(ctx) != 1)
    refuse_file(key, fmt::format("it is not the key of the certificate in {} ({})",
                                 certificate.path, first_tls_error()));
}

}  // namespace kvferry::session
