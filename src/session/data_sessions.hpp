#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "session/tls.hpp"
#include "wire/messages.hpp"

namespace kvferry::session {

// The connections that may have streams for data: what each was given to prove itself with. On the
// node's I/O thread only.
class DataSessions {
 public:
  struct Opened {
    wire::Id session{};
    wire::Secret secret{};
  };
  // For one peer, `peer` being its number at the node.
  Opened open(std::uint64_t peer);
  void close(const wire::Id& session);

  // For a TLS handshake that names a session's stream: the key to be proved.
  std::optional<KnownKey> find(std::string_view identity) const;
  // Whether a Join proves its session's secret.
  bool proves(const wire::Join& join) const;
  // The peer whose stream has proved itself; nullopt where the session has ended meanwhile, or had
  // a stream of that number before: a proof that somebody overheard is worth nothing.
  std::optional<std::uint64_t> admit(const wire::Id& session, std::uint32_t stream);

  // Of one session, in its life.
  static constexpr std::uint32_t kMaxStreams = 1u << 20;

 private:
  struct Session {
    wire::Secret secret{};
    std::uint64_t peer = 0;
    std::uint32_t lowest_unused = 0;     // all below were used
    std::set<std::uint32_t> used_above;  // streams may arrive out of order
  };
  std::map<wire::Id, Session> sessions_;
};

}  // namespace kvferry::session
