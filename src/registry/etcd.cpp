#include "registry/etcd.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/scope_exit.hpp"
#include "kvferry/error.hpp"
#include "registry/etcd_messages.hpp"
#include "wire/text.hpp"

namespace kvferry::registry {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr auto kForever = Clock::time_point::max();
// A list of thousands takes a few pages of milliseconds each.
constexpr auto kListTime = std::chrono::seconds(30);
// Codes of gRPC that etcd answers with.
constexpr std::uint64_t kDeadlineExceeded = 4, kNotFound = 5, kResourceExhausted = 8, kAborted = 10,
                        kUnavailable = 14, kUnauthenticated = 16;
constexpr long kHttpUnauthorized = 401;

// Another member, or the same one later, may well answer.
bool is_passing(long status, std::uint64_t code) {
  return status >= 500 || code == kDeadlineExceeded || code == kResourceExhausted ||
         code == kAborted || code == kUnavailable;
}

std::string text_of(const HttpAnswer& answer, const etcd::Problem& problem) {
  return problem.text.empty() ? fmt::format("HTTP status {}", answer.status)
                              : wire::printable(problem.text, 300);
}

}  // namespace

EtcdStore::EtcdStore(Url url, TlsFiles tls, milliseconds timeout)
    : url_(std::move(url)),
      timeout_(timeout),
      until_(kForever),
      http_(std::move(tls), etcd::kMaxAnswerBytes) {}

HttpAnswer EtcdStore::post(std::size_t member, std::string_view call, const std::string& request) {
  milliseconds timeout = timeout_;
  if (until_ != kForever)
    timeout = std::min(timeout, std::chrono::ceil<milliseconds>(until_ - Clock::now()));
  if (timeout <= milliseconds(0)) throw Error(ErrorCode::unreachable, "no time is left");
  std::vector<std::string> headers{"Content-Type: application/json", "Expect:"};
  if (!token_.empty() && call != "auth/authenticate") headers.push_back("Authorization: " + token_);
  return http_.post(
      fmt::format("http{}://{}/v3/{}", url_.tls ? "s" : "", url_.members[member], call), request,
      headers, timeout);
}

void EtcdStore::log_in(std::size_t member) {
  token_.clear();
  const HttpAnswer answer =
      post(member, "auth/authenticate", etcd::login_request(url_.user, url_.password));
  if (answer.status == 200) {
    token_ = etcd::read_token(answer.body);
    return;
  }
  const etcd::Problem problem = etcd::read_problem(answer.body);
  throw Error(is_passing(answer.status, problem.code) ? ErrorCode::unreachable : ErrorCode::refused,
              fmt::format("{} does not let user '{}' in: {}", url_.members[member],
                          wire::printable(url_.user, 64), text_of(answer, problem)));
}

std::optional<std::string> EtcdStore::ask_member(std::size_t member, std::string_view call,
                                                 const std::string& request, std::string& why) {
  try {
    if (!url_.user.empty() && token_.empty()) log_in(member);
    HttpAnswer answer = post(member, call, request);
    etcd::Problem problem = etcd::read_problem(answer.body);
    // Tokens end, and with a restart of etcd all do.
    if (!url_.user.empty() &&
        (answer.status == kHttpUnauthorized || problem.code == kUnauthenticated)) {
      log_in(member);
      answer = post(member, call, request);
      problem = etcd::read_problem(answer.body);
    }
    // A stream begins with status 200 also where it brings nothing but an error.
    if (answer.status == 200 && problem.code == 0) return std::move(answer.body);
    if (problem.code == kNotFound) throw Error(ErrorCode::failed, text_of(answer, problem));
    if (!is_passing(answer.status, problem.code))
      throw Error(ErrorCode::refused,
                  fmt::format("registry {} refuses: {}", url_.shown, text_of(answer, problem)));
    why = text_of(answer, problem);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unreachable) throw;
    why = error.what();
  }
  return std::nullopt;
}

std::string EtcdStore::ask(std::string_view call, const std::string& request) {
  std::string reasons;
  for (std::size_t i = 0; i < url_.members.size(); ++i) {
    const std::size_t member = (good_ + i) % url_.members.size();
    std::string why;
    if (auto answer = ask_member(member, call, request, why)) {
      good_ = member;
      return std::move(*answer);
    }
    reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", url_.members[member], why);
  }
  throw Error(ErrorCode::unreachable,
              fmt::format("registry {} cannot be reached ({})", url_.shown, reasons));
}

Lease EtcdStore::grant(std::chrono::seconds time_to_live) {
  return etcd::read_grant(ask("lease/grant", etcd::grant_request(time_to_live)));
}

bool EtcdStore::keep_alive(const Lease& lease) {
  return etcd::read_keep_alive(ask("lease/keepalive", etcd::lease_request(lease.id)));
}

std::optional<std::chrono::seconds> EtcdStore::time_left(std::uint64_t lease) {
  return etcd::read_time_left(ask("lease/timetolive", etcd::lease_request(lease)));
}

std::optional<Entry> EtcdStore::claim(const Entry& entry) {
  if (etcd::read_claim(ask("kv/txn", etcd::renew_request(entry))).written) return std::nullopt;
  etcd::Claim claim = etcd::read_claim(ask("kv/txn", etcd::create_request(entry)));
  if (claim.written) return std::nullopt;
  // Ours after all: an answer of before was lost on its way.
  if (claim.there && claim.there->lease == entry.lease) return std::nullopt;
  if (!claim.there) throw Error(ErrorCode::unreachable, "the entry came and went; try again");
  return claim.there;
}

std::optional<Entry> EtcdStore::get(std::string_view name) {
  etcd::Page page = etcd::read_page(ask("kv/range", etcd::get_request(name)));
  if (page.entries.empty()) return std::nullopt;
  return std::move(page.entries.front());
}

std::vector<Entry> EtcdStore::list() {
  const ScopeExit restore([this, before = until_] { until_ = before; });
  until_ = std::min(until_, Clock::now() + kListTime);
  std::vector<Entry> entries;
  for (bool more = true; more;) {
    const std::string after = entries.empty() ? "" : entries.back().name;
    etcd::Page page = etcd::read_page(ask("kv/range", etcd::list_request(after)));
    more = page.more && !page.entries.empty();
    // Each page begins after the last: otherwise there might be no end of them.
    for (Entry& entry : page.entries) {
      if (!entries.empty() && entry.name <= entries.back().name)
        throw Error(
            ErrorCode::refused,
            fmt::format("registry {} lists '{}' after '{}': no etcd does so", url_.shown,
                        wire::printable(entry.name, 64), wire::printable(entries.back().name, 64)));
      entries.push_back(std::move(entry));
    }
    if (entries.size() > etcd::kMaxEntries)
      throw Error(ErrorCode::refused, fmt::format("registry {} holds more than {} entries under {}",
                                                  url_.shown, etcd::kMaxEntries, etcd::kPrefix));
  }
  return entries;
}

void EtcdStore::revoke(const Lease& lease, milliseconds timeout) {
  until_ = Clock::now() + timeout;
  const ScopeExit restore([this] { until_ = kForever; });
  try {
    ask("lease/revoke", etcd::lease_request(lease.id));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::failed) throw;  // failed: it had ended by itself
  }
}

}  // namespace kvferry::registry
