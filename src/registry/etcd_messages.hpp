#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "registry/store.hpp"

// Requests to and answers from etcd's JSON gateway (v3), which writes bytes as base64 and 64-bit
// numbers as texts. Pure. What reads an answer throws Error{refused} for one that makes no sense.
namespace kvferry::registry::etcd {

inline constexpr std::string_view kPrefix = "/kvferry/v1/peers/";
// Entries asked for at once, and the longest answer that is read: so many of the longest entries.
inline constexpr std::uint32_t kPageEntries = 32;
inline constexpr std::size_t kMaxAnswerBytes = 16u << 20;
inline constexpr std::size_t kMaxEntries = 10'000;

std::string grant_request(std::chrono::seconds time_to_live);
Lease read_grant(std::string_view answer);

std::string lease_request(std::uint64_t lease);  // keep-alive, time to live, revoke
bool read_keep_alive(std::string_view answer);
std::optional<std::chrono::seconds> read_time_left(std::string_view answer);

// Writes where `key`'s lease is the entry's own; else where there is no such key. Whichever does
// not write answers with what is there.
std::string renew_request(const Entry& entry);
std::string create_request(const Entry& entry);
struct Claim {
  bool written = false;
  std::optional<Entry> there;  // where it was not written
};
Claim read_claim(std::string_view answer);

std::string get_request(std::string_view name);
// Entries whose names come after this one.
std::string list_request(std::string_view after);
struct Page {
  std::vector<Entry> entries;
  bool more = false;
};
Page read_page(std::string_view answer);

std::string login_request(std::string_view user, std::string_view password);
std::string read_token(std::string_view answer);

// What etcd says is wrong, and its code (one of gRPC's); 0 for an answer without one.
struct Problem {
  std::string text;
  std::uint64_t code = 0;
};
Problem read_problem(std::string_view answer) noexcept;

}  // namespace kvferry::registry::etcd
