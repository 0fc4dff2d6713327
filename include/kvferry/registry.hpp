#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kvferry/export.hpp"
#include "kvferry/node.hpp"

// Finding nodes by name. Nothing else needs a registry: whoever knows an address connects to it.
namespace kvferry {

struct RegistryOptions {
  // "etcd://host:2379[,host:2379...]", or etcds:// for TLS; the members of one cluster. With
  // "user:password@" before the hosts, %XX for what a URL cannot hold, where etcd asks for it.
  std::string url{};
  // For etcds://, PEM files: whose signature the servers' certificates must have (empty: the
  // system's), and our own certificate where they ask for one.
  std::string ca_file{}, cert_file{}, key_file{};
  // How long one member may take to answer before the next is asked.
  std::chrono::milliseconds timeout{2000};
  // Called on threads of the registry's own, too: return quickly.
  std::function<void(LogLevel, std::string_view)> log{};
};

// What the registry knows of one node.
struct RegisteredPeer {
  std::string name;
  std::vector<std::string> addresses;  // as Node::connect takes them
  std::string health;                  // "ready", "full" (no place for a further peer), or its word
  NodeStatus status;                   // as it last said; its addresses are those above
  std::string version;                 // of kvferry
  std::string host;                    // its host's name
  std::uint32_t pid = 0;
  bool same_host = false;                           // as this process
  std::chrono::system_clock::time_point started{};  // by its own clock
};

struct AnnounceOptions {
  std::string name{};  // empty: NodeOptions::name; 1 to 64 of [A-Za-z0-9._-]
  // "host:port" as others reach the node, best first. Empty: what it listens on, where that is a
  // wildcard, the addresses of this host's interfaces.
  std::vector<std::string> addresses{};
  // The entry is gone so long after its node died. It is renewed three times as often.
  std::chrono::seconds time_to_live{5};
};

namespace detail {
class RegistryImpl;
class Announcer;
}  // namespace detail

// A node's entry in a registry, as long as this lives: its destructor removes the entry (waiting
// for the registry at most a second), the process's death does after time_to_live. It is kept up to
// date by a thread of its own. A registry that is lost is said once in the log, tried again with
// growing pauses, and gets the entry again when it is back; transfers never notice. Move-only.
class KVFERRY_API Announcement {
 public:
  ~Announcement();
  Announcement(Announcement&&) noexcept;
  Announcement& operator=(Announcement&&) noexcept;

  const std::string& name() const noexcept;
  const std::vector<std::string>& addresses() const noexcept;
  // Whether the entry was there at the last look.
  bool registered() const noexcept;
  // A word for others to see instead of "ready" or "full", such as "draining"; empty: none.
  // Throws: Error{invalid_argument} for anything but 1 to 64 of [A-Za-z0-9._-].
  void set_health(std::string_view word);

  explicit Announcement(std::unique_ptr<detail::Announcer> state) noexcept;

 private:
  std::unique_ptr<detail::Announcer> state_;
};

// A registry in etcd, reached through its JSON gateway by libcurl, which is loaded at the first
// use. Calls block: make them on a thread that may. Thread-safe.
class KVFERRY_API Registry {
 public:
  // Connects to nothing yet. Throws: Error{invalid_argument} (url), Error{resource} (no libcurl).
  explicit Registry(RegistryOptions options);
  ~Registry();
  Registry(Registry&&) noexcept;
  Registry& operator=(Registry&&) noexcept;

  // Without a password, for people to read.
  const std::string& url() const noexcept;

  // Everybody who is there, by name. What is under the prefix and no node of this protocol is left
  // out and said in the log. Throws: Error{unreachable}, Error{refused} (permission).
  std::vector<RegisteredPeer> list() const;
  // The node of this name. Throws: as list, and Error{unreachable} naming those who are there.
  RegisteredPeer resolve(std::string_view name) const;
  // Connects to the node of this name at the first of its addresses that answers, and makes sure
  // that it is the one. Where certificates are used, its own must be for `name`, unless the options
  // say another. The timeout is for asking the registry, too. Throws: as resolve and Node::connect.
  Peer connect(Node& node, std::string_view name, const ConnectOptions& options = {}) const;
  // Makes the entry before it returns. Where the name is there already it waits, no longer than
  // the entry can live, to see whether its node is dead. Requires: the node listens, and outlives
  // what is returned. Throws: Error{refused} (the name is another's), Error{unreachable},
  // Error{invalid_argument} (name, addresses, a node that does not listen).
  Announcement announce(const Node& node, const AnnounceOptions& options = {}) const;

 private:
  std::unique_ptr<detail::RegistryImpl> state_;
};

}  // namespace kvferry
