#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvferry/credentials.hpp"
#include "session/tls.hpp"
#include "session/token_file.hpp"

namespace kvferry::session {

// A node's credential, loaded and checked: what both ends of its TLS connections are made from.
// Immutable; thread-safe.
class TlsContext {
 public:
  using Warn = std::function<void(const std::string&)>;

  // Null where there are no credentials. Throws: Error{invalid_argument} naming the file and what
  // is wrong with it: not there, others may read it, no PEM, key and certificate that do not belong
  // together, a certificate that the authority did not sign, or that has expired. Warns of one that
  // expires within a week.
  static std::shared_ptr<const TlsContext> load(const Credentials& credentials, const Warn& warn);

  wire::Security security() const noexcept { return security_; }
  bool plain_data() const noexcept { return plain_data_; }
  // Whether somebody of that name can come: one of the tokens, * for all others, or any
  // certificate.
  bool may_name(std::string_view credential) const noexcept;
  std::string token_names() const;  // "reader, loader"

  // `find_session` knows the keys of streams for data.
  std::unique_ptr<Tls> accept(int socket, std::string who, FindKey find_session) const;
  // `expected`: the name or address that the server's certificate must be for.
  // Throws: Error{invalid_argument}: a file of several tokens does not say which is ours.
  std::unique_ptr<Tls> connect(int socket, std::string who, const std::string& expected) const;

 private:
  using Context = std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)>;
  struct NamedKey {
    std::string name;
    PresharedKey key;
  };

  TlsContext();
  void load_tokens(const std::string& path);
  void load_certificate(const Credentials& credentials, const Warn& warn);
  std::optional<KnownKey> find_token(std::string_view identity) const;

  wire::Security security_ = wire::Security::none;
  bool plain_data_ = false;
  std::string token_file_;
  std::vector<NamedKey> tokens_;
  Context server_, client_;
};

// "OpenSSL 3.0.19 27 Jan 2026": the library that is used now.
std::string tls_library();

// A context for connections whose only credential is a key: TLS 1.3, no certificates, no tickets.
std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)> make_key_client();

}  // namespace kvferry::session
