#include "registry/url.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "kvferry/error.hpp"
#include "session/address.hpp"
#include "wire/text.hpp"

namespace kvferry::registry {
namespace {

constexpr std::size_t kMaxUrlBytes = 4096;
constexpr std::size_t kMaxMembers = 16;
constexpr std::string_view kDefaultPort = "2379";

[[noreturn]] void bad(std::string_view shown, std::string_view why) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("registry '{}': {}; give etcd://host:port[,host:port...]",
                          wire::printable(shown, 200), why));
}

// %XX -> the byte.
std::string unescape(std::string_view text, std::string_view shown) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i];
      continue;
    }
    unsigned byte = 0;
    const char* const begin = text.data() + i + 1;
    const char* const end = text.data() + std::min(i + 3, text.size());
    if (end - begin != 2 || std::from_chars(begin, end, byte, 16).ptr != end || byte == 0)
      bad(shown, "a % in the user or password is not followed by two hexadecimal digits");
    plain += static_cast<char>(byte);
    i += 2;
  }
  return plain;
}

std::string member_of(std::string_view text, std::string_view shown) {
  if (text.empty()) bad(shown, "a host is empty");
  // What would change the meaning of the URL that is made of it.
  if (text.find_first_of("/?#@% \t\\") != text.npos || !wire::is_clean_text(text))
    bad(shown, "a host is followed by something that is no port");
  const bool v6 = text.starts_with('[');
  const bool has_port = v6 ? text.find("]:") != text.npos : text.find(':') != text.npos;
  const std::string member =
      has_port ? std::string(text) : fmt::format("{}:{}", text, kDefaultPort);
  try {
    return session::parse_address(member).to_string();
  } catch (const Error& error) {
    bad(shown, error.what());
  }
}

}  // namespace

Url parse_url(std::string_view text) {
  Url url;
  std::string_view rest = text;
  if (rest.starts_with("etcds://")) {
    url.tls = true;
  } else if (!rest.starts_with("etcd://")) {
    // Whatever it is, it may hold a password.
    bad(rest.substr(0, rest.find(':')), "it begins with neither etcd:// nor etcds://");
  }
  const std::string scheme(rest.substr(0, rest.find("//") + 2));
  rest.remove_prefix(scheme.size());
  const std::size_t at = rest.rfind('@');
  const std::string_view hosts = at == rest.npos ? rest : rest.substr(at + 1);
  url.shown = fmt::format("{}{}{}", scheme, at == rest.npos ? "" : "...@", hosts);
  if (text.size() > kMaxUrlBytes) bad(scheme, "it is too long");
  if (at != rest.npos) {
    const std::string_view login = rest.substr(0, at);
    const std::size_t colon = login.find(':');
    if (colon == login.npos || colon == 0) bad(url.shown, "before the @ stands user:password");
    url.user = unescape(login.substr(0, colon), url.shown);
    url.password = unescape(login.substr(colon + 1), url.shown);
    url.shown = fmt::format("{}{}@{}", scheme, wire::printable(url.user, 64), hosts);
  }
  std::string_view list = hosts;
  if (list.ends_with('/')) list.remove_suffix(1);
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t comma = std::min(list.find(',', begin), list.size());
    url.members.push_back(member_of(list.substr(begin, comma - begin), url.shown));
    begin = comma + 1;
  }
  if (url.members.size() > kMaxMembers)
    bad(url.shown, fmt::format("it names more than {} members", kMaxMembers));
  return url;
}

}  // namespace kvferry::registry
