#include "registry/tls_files.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "kvferry/error.hpp"
#include "session/pem_files.hpp"

namespace kvferry::registry {

void check_tls_files(const TlsFiles& files, const Url& url) {
  if (files.ca.empty() && files.cert.empty() && files.key.empty()) return;
  if (!url.tls)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--registry-ca, --registry-cert and --registry-key are for etcds://; "
                            "{} is not encrypted",
                            url.shown));
  if (files.cert.empty() != files.key.empty())
    throw Error(ErrorCode::invalid_argument,
                "--registry-cert and --registry-key go together: a certificate and its key");
  ERR_clear_error();  // what others left
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(SSL_CTX_new(TLS_client_method()),
                                                             SSL_CTX_free);
  if (!context) throw Error(ErrorCode::resource, "TLS: " + session::first_tls_error());
  if (!files.ca.empty()) session::use_authority(context.get(), {"--registry-ca", files.ca});
  if (!files.cert.empty())
    session::use_certificate(context.get(), {"--registry-cert", files.cert},
                             {"--registry-key", files.key}, false);
}

}  // namespace kvferry::registry
