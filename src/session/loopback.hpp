#pragma once

#include <asio/ip/address.hpp>

namespace kvferry::session {

// ::ffff:127.0.0.1 is 127.0.0.1.
inline asio::ip::address plain(const asio::ip::address& address) {
  if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
  return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
}

// Of this host only: 127.0.0.0/8, also as a mapped IPv6 address, or ::1.
inline bool is_loopback(const asio::ip::address& address) { return plain(address).is_loopback(); }

// Of the two ends of a connection: both on this host, by a loopback address or by one of its own.
inline bool stays_here(const asio::ip::address& ours, const asio::ip::address& theirs) {
  return is_loopback(theirs) || ours == theirs;
}

}  // namespace kvferry::session
