#include "credential_options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "kvferry/error.hpp"
#include "option_checks.hpp"
#include "quote.hpp"

namespace kvferry::cli {
namespace {

constexpr const char* kGroup = "Peers on other hosts (over TCP)";

CLI::Option* text(CLI::App& app, const char* name, std::string& value, const char* type,
                  const char* description) {
  const auto check = [](const std::string& given) -> std::string {
    return given.empty() ? "the value is empty; leave the option out to do without" : "";
  };
  return app.add_option(name, value, description)
      ->type_name(type)
      ->check(CLI::Validator(check, ""))
      ->group(kGroup);
}

void add_files(CLI::App& app, Credentials& files) {
  text(app, "--token-file", files.token_file, "FILE",
       "token that both sides know; connections are TLS 1.3 (kvferry keygen token makes one)");
  text(app, "--tls-cert", files.certificate, "FILE",
       "our certificate, PEM, instead of a token; connections are TLS 1.3, and both sides show one "
       "(kvferry keygen certificate)");
  text(app, "--tls-key", files.key, "FILE", "its private key, PEM; readable by its owner only");
  text(app, "--tls-ca", files.authority, "FILE",
       "certificate of the authority that signed ours and theirs, PEM");
  app.add_flag("--plain-data", files.plain_data,
               "let blocks travel unencrypted, and only control inside TLS; must be given on both "
               "sides")
      ->group(kGroup);
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(at, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

[[noreturn]] void bad(const std::string& text, const std::string& why) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("--permit {}: {}; give NAME=read, NAME=write or NAME=read,write, and "
                          "after a colon the pools if not all",
                          quote(text), why));
}

}  // namespace

void add_server_credentials(CLI::App& app, CredentialOptions& o) {
  add_files(app, o.files);
  const std::string type = "NAME=RIGHTS[:POOLS]";
  app.add_option("--permit", o.permits,
                 "what the holder of one token or certificate may do: read, write, or read,write; "
                 "of all pools or those named. Repeat it for each; NAME * is for all others. "
                 "Whoever none of them names is refused. Without --permit each may do everything. "
                 "Processes of the same user on this host need no credential and are not bound by "
                 "this: the kernel lets them read our memory anyway")
      ->type_name(type)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(kGroup);
  app.add_flag("--insecure", o.insecure,
               "let in whoever reaches the port, on whatever --ip, without a credential and "
               "unencrypted; warns at every start")
      ->group(kGroup);
}

void add_client_credentials(CLI::App& app, CredentialOptions& o) {
  add_files(app, o.files);
  text(app, "--tls-name", o.server_name, "NAME",
       "name or address that the server's certificate must be for")
      ->default_str("that of --ip");
  app.add_flag("--insecure", o.insecure,
               "connect to a server on another host that wants no credential: unencrypted, and "
               "whoever is on the way can read and change every block")
      ->group(kGroup);
}

void require_certificate_for_name(const CredentialOptions& o) {
  if (o.server_name.empty() || !o.files.certificate.empty()) return;
  throw Error(ErrorCode::invalid_argument,
              "--tls-name needs a certificate (--tls-cert, --tls-key, --tls-ca): without one the "
              "server shows none that could be for that name");
}

Permission parse_permission(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) bad(text, "there is no name before a =");
  Permission permission;
  permission.credential = text.substr(0, equals);
  permission.read = permission.write = false;
  const std::size_t colon = text.find(':', equals);
  const std::string rights =
      text.substr(equals + 1, colon == std::string::npos ? std::string::npos : colon - equals - 1);
  for (const std::string& right : split(rights, ',')) {
    if (right != "read" && right != "write") bad(text, quote(right) + " is no right");
    (right == "read" ? permission.read : permission.write) = true;
  }
  if (colon == std::string::npos) return permission;
  for (std::string& pool : split(text.substr(colon + 1), ',')) {
    if (pool.empty()) bad(text, "a pool has no name");
    permission.pools.push_back(std::move(pool));
  }
  return permission;
}

std::vector<Permission> parse_permissions(const std::vector<std::string>& texts) {
  std::vector<Permission> permissions;
  for (const std::string& text : texts) {
    permissions.push_back(parse_permission(text));
    for (std::size_t i = 0; i + 1 < permissions.size(); ++i)
      if (permissions[i].credential == permissions.back().credential)
        bad(text, "this name was given before");
  }
  return permissions;
}

}  // namespace kvferry::cli
