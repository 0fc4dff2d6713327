#pragma once

#include <string>
#include <vector>

#include "kvferry/credentials.hpp"

namespace CLI {
class App;
}

namespace kvferry::cli {

// What a command line says about peers on other hosts.
struct CredentialOptions {
  Credentials files{};
  bool insecure = false;
  std::string server_name;           // clients only
  std::vector<std::string> permits;  // servers only: NAME=RIGHTS[:POOL,...]
};

void add_server_credentials(CLI::App& app, CredentialOptions& o);
void add_client_credentials(CLI::App& app, CredentialOptions& o);

// Throws: Error{invalid_argument} where --tls-name has no effect.
void require_certificate_for_name(const CredentialOptions& o);

// "reader=read", "loader=read,write:kv,kv2", "*=read". Throws: Error{invalid_argument} quoting it.
Permission parse_permission(const std::string& text);
std::vector<Permission> parse_permissions(const std::vector<std::string>& texts);

}  // namespace kvferry::cli
