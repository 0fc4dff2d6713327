#include "session/data_sessions.hpp"

#include "session/keys.hpp"

namespace kvferry::session {
namespace {

// How far ahead of the lowest unused number a stream's may be: bounds what is remembered.
constexpr std::uint32_t kWindow = 4096;

}  // namespace

DataSessions::Opened DataSessions::open(std::uint64_t peer) {
  Opened opened{draw<wire::Id>(), draw<wire::Secret>()};
  Session& session = sessions_[opened.session];
  session.secret = opened.secret;
  session.peer = peer;
  return opened;
}

void DataSessions::close(const wire::Id& session) { sessions_.erase(session); }

std::optional<KnownKey> DataSessions::find(std::string_view identity) const {
  KnownKey known;
  known.proves.by = Proven::By::session;
  if (!parse_data_identity(identity, known.proves.session, known.proves.stream))
    return std::nullopt;
  const auto found = sessions_.find(known.proves.session);
  if (found == sessions_.end()) return std::nullopt;
  known.key = data_key(found->first, found->second.secret, known.proves.stream).key;
  return known;
}

bool DataSessions::proves(const wire::Join& join) const {
  const auto found = sessions_.find(join.session);
  // Somebody who guesses session ids learns nothing from how long this takes.
  const wire::Secret nobodys{};
  const auto& secret = found == sessions_.end() ? nobodys : found->second.secret;
  const bool right = same(join_proof(join.session, secret, join.stream), join.proof);
  return right && found != sessions_.end();
}

std::optional<std::uint64_t> DataSessions::admit(const wire::Id& session, std::uint32_t stream) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return std::nullopt;
  Session& s = found->second;
  if (stream >= kMaxStreams || stream < s.lowest_unused) return std::nullopt;
  // Numbers of streams that never came to be are not waited for for ever.
  if (stream - s.lowest_unused >= kWindow) {
    s.lowest_unused = stream - kWindow + 1;
    s.used_above.erase(s.used_above.begin(), s.used_above.lower_bound(s.lowest_unused));
  }
  if (!s.used_above.insert(stream).second) return std::nullopt;
  while (s.used_above.erase(s.lowest_unused) == 1) ++s.lowest_unused;
  return s.peer;
}

}  // namespace kvferry::session
