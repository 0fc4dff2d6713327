#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "kvferry/registry.hpp"

// The value of one entry: JSON, described in docs/discovery.md.
namespace kvferry::registry {

inline constexpr std::uint32_t kRecordSchema = 1;
inline constexpr std::size_t kMaxRecordBytes = 256u << 10;
inline constexpr std::size_t kMaxAddresses = 32;
inline constexpr std::size_t kMaxAddressBytes = 300;

// An entry, with what tells its host from others: the boot id as 32 hexadecimal digits, or empty.
struct Record {
  RegisteredPeer peer;
  std::string boot_id;
};

// Throws: Error{invalid_argument} for what no reader would accept: too long, too many pools.
std::string encode(const Record& record);
// The entry named `name`; everything in the text is a stranger's word and is checked. Throws:
// Error{refused} naming the entry and the field.
Record decode(std::string_view name, std::string_view text);

// Nobody but processes of the same host reaches it: loopback, or a Unix socket. Throws: as
// check_address.
bool is_local_only(std::string_view address);
// Throws: Error{invalid_argument} for what is neither host:port, [v6]:port nor unix:/path.
void check_address(std::string_view address);
// Of this host.
std::string own_boot_id();

}  // namespace kvferry::registry
