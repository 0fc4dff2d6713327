// What a node tells its user: lines, events, notices. Peers cause most of it, so all of it is
// bounded.
#include <fmt/format.h>

#include <bit>
#include <limits>

#include "node/node_impl.hpp"

namespace kvferry::detail {
namespace {

// Peers say how much they moved: a sum that wraps around would hide what they said before.
void add_at_most(std::atomic<std::uint64_t>& sum, std::uint64_t more) {
  constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t seen = sum;
  while (!sum.compare_exchange_weak(seen, more > kMost - seen ? kMost : seen + more)) {
  }
}

}  // namespace

void NodeImpl::log(LogLevel level, std::string_view text) const {
  if (options_.log) options_.log(level, text);
}

void NodeImpl::tell(const PeerEvent& event) const {
  if (event.kind == PeerEvent::Kind::served) {
    add_at_most(served_transfers_, 1);
    add_at_most(served_bytes_, event.bytes);
  }
  if (options_.on_event) options_.on_event(event);
}

void NodeImpl::deliver(Notice notice) {
  if (options_.max_notices == 0) return;
  const std::string peer = notice.peer;
  const std::string why = events_.push(std::move(notice));
  if (why.empty()) return;
  // Said at 1, 2, 4, 8, ... so that a flood of notices is no flood of log lines.
  const std::size_t dropped = ++dropped_notices_;
  if (std::has_single_bit(dropped))
    log(LogLevel::warning, fmt::format("{} notices were dropped, the last one of {}: {}; call "
                                       "next_notice() until it has none",
                                       dropped, peer, why));
}

// Whoever fails to get in again and again, or many at once, must not fill the log.
void NodeImpl::note_failed_handshake(const session::Caller& caller, const std::string& text) {
  const std::string source = caller.source.empty() ? "this host" : caller.source;
  const std::string line = failed_handshakes_.line_of(text, source, Clock::now());
  if (!line.empty()) log(LogLevel::warning, line);
}

}  // namespace kvferry::detail
