#pragma once

#include <string>
#include <string_view>

struct ssl_ctx_st;

namespace kvferry::session {

// A PEM file and what its user calls it ("--tls-cert"), for messages.
struct PemFile {
  std::string_view called;
  const std::string& path;
};

[[noreturn]] void refuse_file(const PemFile& file, std::string_view why);

// Each into an SSL_CTX, which then has it. Throws: Error{invalid_argument} naming the file and what
// is wrong with it.
void use_authority(ssl_ctx_st* ctx, const PemFile& authority);
// A certificate, with those that lead to its authority, and its key, without a passphrase.
// `secret`: a key that others than its owner can read is refused.
void use_certificate(ssl_ctx_st* ctx, const PemFile& certificate, const PemFile& key, bool secret);

// The first of the errors that one failure of the TLS library left; clears them all.
std::string first_tls_error();

}  // namespace kvferry::session
