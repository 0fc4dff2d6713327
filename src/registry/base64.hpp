#pragma once

#include <optional>
#include <string>
#include <string_view>

// Bytes as etcd's JSON gateway writes them (RFC 4648, with padding).
namespace kvferry::registry {

std::string to_base64(std::string_view bytes);
// nullopt: not base64.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace kvferry::registry
