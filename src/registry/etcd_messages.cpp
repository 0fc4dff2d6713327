#include "registry/etcd_messages.hpp"

#include <charconv>
#include <nlohmann/json.hpp>

#include "kvferry/error.hpp"
#include "registry/base64.hpp"
#include "registry/json_bounds.hpp"
#include "registry/record.hpp"
#include "wire/text.hpp"

namespace kvferry::registry::etcd {
namespace {

using nlohmann::json;

constexpr std::string_view kWhat = "etcd's answer";
constexpr std::uint64_t kMaxTimeToLive = 1'000'000'000;  // etcd's own limit is 9,000,000,000 s
constexpr std::size_t kMaxToken = 4096;
constexpr std::size_t kMaxBase64 = (kMaxRecordBytes / 3 + 2) * 4;

json parse(std::string_view answer) { return parse_object(answer, kMaxAnswerBytes, kWhat); }

std::string key_of(std::string_view name) {
  return to_base64(std::string(kPrefix) + std::string(name));
}
// The first key after all that begin with the prefix.
std::string end_of_prefix() {
  std::string end(kPrefix);
  ++end.back();
  return to_base64(end);
}

// A number that etcd writes as a text, and leaves out where it is 0. Ids may be negative.
std::int64_t whole(const Fields& fields, const char* name) {
  if (!fields.has(name)) return 0;
  const std::string text = fields.text(name, 20);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) fields.fail(name, "is no number");
  return value;
}
std::string id_text(std::uint64_t id) { return std::to_string(static_cast<std::int64_t>(id)); }
std::uint64_t id_of(const Fields& fields, const char* name) {
  return static_cast<std::uint64_t>(whole(fields, name));
}

bool is_true(const Fields& fields, const char* name) {
  return fields.has(name) && fields.flag(name);
}

std::string bytes(const Fields& fields, const char* name, std::size_t max_bytes) {
  if (!fields.has(name)) return {};
  auto plain = from_base64(fields.text(name, max_bytes));
  if (!plain) fields.fail(name, "is not base64");
  return std::move(*plain);
}

Entry entry_of(const json& object) {
  const Fields fields(object, kWhat);
  Entry entry;
  entry.name = bytes(fields, "key", kMaxToken);
  if (!entry.name.starts_with(kPrefix)) fields.fail("key", "is not one that was asked for");
  entry.name.erase(0, kPrefix.size());
  entry.value = bytes(fields, "value", kMaxBase64);
  entry.lease = id_of(fields, "lease");
  return entry;
}

Page page_of(const Fields& fields) {
  Page page;
  page.more = is_true(fields, "more");
  if (!fields.has("kvs")) return page;
  for (const json& object : fields.list("kvs", kPageEntries))
    page.entries.push_back(entry_of(object));
  return page;
}

std::string claim_request(json compare, const Entry& entry) {
  const std::string key = key_of(entry.name);
  compare["key"] = key;
  compare["result"] = "EQUAL";
  const json put{{"key", key}, {"value", to_base64(entry.value)}, {"lease", id_text(entry.lease)}};
  return json{{"compare", {std::move(compare)}},
              {"success", {{{"request_put", put}}}},
              {"failure", {{{"request_range", {{"key", key}}}}}}}
      .dump();
}

std::string range_request(const std::string& key, const std::string& end) {
  json request{{"key", key}, {"limit", std::to_string(kPageEntries)}};
  if (!end.empty()) request["range_end"] = end;
  return request.dump();
}

}  // namespace

std::string grant_request(std::chrono::seconds time_to_live) {
  return json{{"TTL", std::to_string(time_to_live.count())}}.dump();
}

Lease read_grant(std::string_view answer) {
  const json parsed = parse(answer);
  const Fields fields(parsed, kWhat);
  const std::int64_t seconds = whole(fields, "TTL");
  const std::uint64_t id = id_of(fields, "ID");
  if (id == 0) fields.fail("ID", "of the lease is missing");
  if (seconds < 1 || seconds > static_cast<std::int64_t>(kMaxTimeToLive))
    fields.fail("TTL", "of the lease is no time to live");
  return {id, std::chrono::seconds(seconds)};
}

std::string lease_request(std::uint64_t lease) { return json{{"ID", id_text(lease)}}.dump(); }

bool read_keep_alive(std::string_view answer) {
  const json parsed = parse(answer);
  const Fields fields = Fields(parsed, kWhat).object("result");
  return whole(fields, "TTL") > 0;
}

std::optional<std::chrono::seconds> read_time_left(std::string_view answer) {
  const json parsed = parse(answer);
  const std::int64_t seconds = whole(Fields(parsed, kWhat), "TTL");
  if (seconds < 0 || seconds > static_cast<std::int64_t>(kMaxTimeToLive)) return std::nullopt;
  return std::chrono::seconds(seconds);
}

std::string renew_request(const Entry& entry) {
  return claim_request({{"target", "LEASE"}, {"lease", id_text(entry.lease)}}, entry);
}

std::string create_request(const Entry& entry) {
  return claim_request({{"target", "CREATE"}, {"create_revision", "0"}}, entry);
}

Claim read_claim(std::string_view answer) {
  const json parsed = parse(answer);
  const Fields fields(parsed, kWhat);
  Claim claim;
  claim.written = is_true(fields, "succeeded");
  if (claim.written) return claim;
  const json& responses = fields.list("responses", 1);
  if (responses.empty()) fields.fail("responses", "is empty");
  Page page = page_of(Fields(responses.front(), kWhat).object("response_range"));
  if (!page.entries.empty()) claim.there = std::move(page.entries.front());
  return claim;
}

std::string get_request(std::string_view name) { return range_request(key_of(name), ""); }

std::string list_request(std::string_view after) {
  // The smallest key above one ends with a zero byte more.
  const std::string first = after.empty() ? key_of("") : key_of(std::string(after) + '\0');
  return range_request(first, end_of_prefix());
}

Page read_page(std::string_view answer) {
  const json parsed = parse(answer);
  return page_of(Fields(parsed, kWhat));
}

std::string login_request(std::string_view user, std::string_view password) {
  return json{{"name", user}, {"password", password}}.dump(-1, ' ', false,
                                                           json::error_handler_t::replace);
}

std::string read_token(std::string_view answer) {
  const json parsed = parse(answer);
  const Fields fields(parsed, kWhat);
  const std::string token = fields.text("token", kMaxToken);
  // It becomes a line of a header.
  if (token.empty()) fields.fail("token", "is empty");
  return token;
}

Problem read_problem(std::string_view answer) noexcept {
  try {
    const json parsed = parse(answer);
    const Fields fields(parsed, kWhat);
    Problem problem;
    // A stream's problem lies one level deeper.
    const Fields inner =
        fields.has("error") && parsed["error"].is_object() ? fields.object("error") : fields;
    for (const char* name : {"message", "error"})
      if (problem.text.empty() && inner.has(name)) problem.text = inner.text(name, kMaxToken);
    for (const char* name : {"code", "grpc_code"})
      if (problem.code == 0 && inner.has(name)) problem.code = inner.number(name, 0, 1000);
    return problem;
  } catch (const std::exception&) {
    return {};
  }
}

}  // namespace kvferry::registry::etcd
