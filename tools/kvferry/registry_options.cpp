#include "registry_options.hpp"

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "option_checks.hpp"
#include "registry/url.hpp"

namespace kvferry::cli {
namespace {

// The URL is in no message: it may hold a password.
std::string url_error(const std::string& given) {
  if (given.empty()) return "the value is empty; leave the option out for none";
  try {
    registry::parse_url(given);
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

void add_file(CLI::App& app, const char* name, std::string& value, const char* text,
              const char* group) {
  app.add_option(name, value, text)->type_name("FILE.pem")->check(not_empty())->group(group);
}

}  // namespace

CLI::Option& add_registry(CLI::App& app, RegistryFlags& flags, const char* group) {
  CLI::Option* const url =
      app.add_option("--registry", flags.url,
                     "etcd cluster where servers are found by name: "
                     "etcd://[USER:PASSWORD@]HOST[:2379][,HOST...], or etcds:// for TLS")
          ->type_name("URL")
          ->check(CLI::Validator(url_error, ""))
          ->envname(kRegistryVariable)
          ->default_str("$KVFERRY_REGISTRY, else none")
          ->group(group);
  add_file(app, "--registry-ca", flags.ca, "etcds: who signs etcd's certificates", group);
  app.get_option("--registry-ca")->default_str("the system's authorities");
  add_file(app, "--registry-cert", flags.cert, "etcds: certificate to show to etcd", group);
  add_file(app, "--registry-key", flags.key, "etcds: the key of --registry-cert", group);
  return *url;
}

bool is_from_environment(const RegistryFlags& flags) {
  const char* const value = std::getenv(kRegistryVariable);
  return value != nullptr && flags.url == value;
}

Registry open_registry(const RegistryFlags& flags,
                       const std::function<void(LogLevel, std::string_view)>& log) {
  RegistryOptions options;
  options.url = flags.url;
  options.ca_file = flags.ca;
  options.cert_file = flags.cert;
  options.key_file = flags.key;
  // What happens to a registration is for the person to see, not only with --debug.
  options.log = [log](LogLevel level, std::string_view text) {
    log(level == LogLevel::info ? LogLevel::warning : level, text);
  };
  return Registry(options);
}

std::string shown_registry(const RegistryFlags& flags) {
  return flags.url.empty() ? "" : registry::parse_url(flags.url).shown;
}

}  // namespace kvferry::cli
