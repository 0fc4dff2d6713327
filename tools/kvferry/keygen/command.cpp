#include "keygen/command.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>

#include "keygen/new_file.hpp"
#include "kvferry/error.hpp"
#include "option_checks.hpp"
#include "quote.hpp"
#include "session/certificates.hpp"
#include "session/keys.hpp"
#include "session/token_file.hpp"
#include "wire/text.hpp"

namespace kvferry::cli {
namespace {

constexpr const char* kText = R"(Make what peers on other hosts prove themselves with.

token: one secret that both sides know, in a file NAME.token; the simplest. Copy it to
every host, by a way that keeps it secret, and give it to both sides with --token-file.

authority: a certificate that signs others, in ca.pem, and its key in ca.key. Keep ca.key
where certificates are made; only ca.pem goes to the hosts.

certificate: one node's own, in NAME.pem, and its key in NAME.key, signed by the authority
in the same directory. Give them to that node with --tls-cert, --tls-key and --tls-ca
ca.pem.

Secrets are written with mode 0600, and no file is ever overwritten.)";

constexpr const char* kFooter = R"(Examples:
  kvferry keygen token --name cluster
  kvferry keygen authority --dir keys
  kvferry keygen certificate --dir keys --name prefill-0 --host 10.0.0.5
  kvferry serve --ip 10.0.0.5 --token-file cluster.token

A server that lets in several clients by tokens of their own has their lines in one file:
  cat reader.token loader.token > server.tokens; chmod 600 server.tokens

Exit codes:
  0  done
  2  wrong usage
  6  a file is there already, or cannot be written)";

constexpr std::uint32_t kAuthorityDays = 3650;
constexpr std::uint32_t kCertificateDays = 365;
// Clocks differ: what is made here is to be valid there at once.
constexpr auto kClockSkew = std::chrono::minutes(10);

std::string in(const std::string& directory, const std::string& file) {
  return directory == "." ? file : directory + "/" + file;
}

session::CertificateRequest request_of(const KeygenOptions& o, std::uint32_t days) {
  const auto now = std::chrono::system_clock::now();
  return {o.name, o.hosts, now - kClockSkew,
          now + std::chrono::hours(24) * (o.days == 0 ? days : o.days)};
}

void make_token(const KeygenOptions& o) {
  if (!wire::is_name(o.name))
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("--name {}: a token's name is 1 to 64 of A-Z a-z 0-9 . _ -", quote(o.name)));
  const auto secret = session::draw<wire::Secret>();
  const std::string line =
      fmt::format("{} {}\n", o.name, session::to_base64({secret.begin(), secret.end()}));
  const std::string path = in(o.directory, o.name + ".token");
  write_new({{path, line, true}});
  fmt::print("{}: secret; give it to both sides with --token-file\n", path);
}

void make_authority(const KeygenOptions& o) {
  const auto made = session::make_authority(request_of(o, kAuthorityDays));
  const std::string certificate = in(o.directory, "ca.pem"), key = in(o.directory, "ca.key");
  write_new({{certificate, made.certificate, false}, {key, made.key, true}});
  fmt::print("{}: goes to every host (--tls-ca)\n", certificate);
  fmt::print("{}: secret; stays where certificates are made\n", key);
}

void make_certificate(const KeygenOptions& o) {
  session::CertifiedKey authority;
  const std::string ca = in(o.directory, "ca.pem");
  authority.certificate = read_file(ca,
                                    "the authority's certificate; make one first with kvferry "
                                    "keygen authority");
  authority.key = session::read_secret_file(in(o.directory, "ca.key"), "the authority's key");
  const auto made = session::make_certificate(request_of(o, kCertificateDays), authority);
  const std::string certificate = in(o.directory, o.name + ".pem"),
                    key = in(o.directory, o.name + ".key");
  write_new({{certificate, made.certificate, false}, {key, made.key, true}});
  fmt::print("{}: of {}{} (--tls-cert)\n", certificate, o.name,
             o.hosts.empty() ? "" : fmt::format(", {}", fmt::join(o.hosts, ", ")));
  fmt::print("{}: secret; goes to {} alone (--tls-key)\n", key, o.name);
  fmt::print("{}: the authority (--tls-ca)\n", ca);
}

}  // namespace

void add_keygen(CLI::App& root, KeygenOptions& o) {
  CLI::App& app = *root.add_subcommand("keygen", kText);
  choice(app, "KIND", o.kind, "token|authority|certificate", "what to make")->required();
  app.add_option("--name", o.name,
                 "1 to 64 of A-Z a-z 0-9 . _ -: how logs and --permit call its holder; of a "
                 "certificate also a name that its node may be dialled by")
      ->type_name("NAME")
      ->default_str("of a token: kvferry; of an authority: kvferry-ca");
  app.add_option("--host", o.hosts,
                 "certificate: an address or name that its node may be dialled by; repeat it for "
                 "each")
      ->type_name("HOST")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  number(app, "--days", o.days, {1, 36500}, "how long a certificate is valid")
      ->default_str("365; of an authority 3650");
  app.add_option("--dir", o.directory, "where to write, and where the authority is found")
      ->type_name("PATH")
      ->default_str("this directory");
  app.footer(kFooter);
}

void run_keygen(const KeygenOptions& given) {
  KeygenOptions o = given;
  if (o.name.empty()) {
    if (o.kind == "certificate")
      throw Error(ErrorCode::invalid_argument, "a certificate needs the name of its node: --name");
    o.name = o.kind == "token" ? "kvferry" : "kvferry-ca";
  }
  if (o.kind != "certificate" && !o.hosts.empty())
    throw Error(ErrorCode::invalid_argument, "--host is for certificates");
  if (o.kind == "token" && o.days != 0)
    throw Error(ErrorCode::invalid_argument, "--days: a token does not expire");
  if (o.kind == "token") return make_token(o);
  if (o.kind == "authority") return make_authority(o);
  make_certificate(o);
}

}  // namespace kvferry::cli
