#include "kvferry/registry.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <mutex>

#include "base/scope_exit.hpp"
#include "base/time_after.hpp"
#include "kvferry/error.hpp"
#include "kvferry/version.hpp"
#include "registry/announcer.hpp"
#include "registry/etcd.hpp"
#include "registry/local_addresses.hpp"
#include "registry/record.hpp"
#include "registry/tls_files.hpp"
#include "wire/text.hpp"

namespace kvferry {

using Clock = std::chrono::steady_clock;

namespace detail {

class RegistryImpl {
 public:
  explicit RegistryImpl(RegistryOptions options)
      : options_(std::move(options)),
        url_(registry::parse_url(options_.url)),
        store_(make_store()) {}

  std::unique_ptr<registry::Store> make_store() const {
    if (options_.timeout <= std::chrono::milliseconds(0))
      throw Error(ErrorCode::invalid_argument, "RegistryOptions::timeout must be more than 0");
    const registry::TlsFiles files{options_.ca_file, options_.cert_file, options_.key_file};
    registry::check_tls_files(files, url_);
    return std::make_unique<registry::EtcdStore>(url_, files, options_.timeout);
  }
  // With the store, by one thread at a time.
  template <typename F>
  auto ask(F&& question, Clock::time_point until = Clock::time_point::max()) const {
    std::lock_guard lock(mutex_);
    const ScopeExit restore([this] { store_->give_up_at(Clock::time_point::max()); });
    store_->give_up_at(until);
    return std::forward<F>(question)(*store_);
  }
  const RegistryOptions& options() const noexcept { return options_; }
  const std::string& shown() const noexcept { return url_.shown; }
  void log(LogLevel level, const std::string& text) const {
    if (options_.log) options_.log(level, text);
  }
  std::vector<RegisteredPeer> list(Clock::time_point until = Clock::time_point::max()) const;
  RegisteredPeer resolve(std::string_view name,
                         Clock::time_point until = Clock::time_point::max()) const;

 private:
  const RegistryOptions options_;
  const registry::Url url_;
  mutable std::mutex mutex_;
  const std::unique_ptr<registry::Store> store_;
};

}  // namespace detail

namespace {

constexpr std::size_t kMaxNamesShown = 20;

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return wire::printable(name.data(), wire::kMaxTagBytes / 4);
}

std::string names_of(const std::vector<RegisteredPeer>& peers) {
  if (peers.empty()) return "nobody is registered";
  std::string names;
  for (std::size_t i = 0; i < std::min(peers.size(), kMaxNamesShown); ++i)
    names += (i == 0 ? "" : ", ") + peers[i].name;
  if (peers.size() > kMaxNamesShown)
    names += fmt::format(" and {} more", peers.size() - kMaxNamesShown);
  return "there are: " + names;
}

void require_name(std::string_view name) {
  if (!wire::is_name(name))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("'{}' is no name of a node: a name has 1 to 64 of [A-Za-z0-9._-]",
                            wire::printable(name, 100)));
}

// Whoever answers at an address of an entry may be another one that came after its node died.
bool is_the_one(const Peer& peer, const RegisteredPeer& wanted) {
  return wanted.status.name.empty() || peer.name().starts_with(wanted.status.name + " (");
}

// A process of another host would find itself, or nothing, at a loopback address of ours.
std::vector<std::string> usable_addresses(const RegisteredPeer& peer) {
  std::vector<std::string> usable;
  for (const std::string& address : peer.addresses)
    if (peer.same_host || !registry::is_local_only(address)) usable.push_back(address);
  if (!usable.empty()) return usable;
  throw Error(ErrorCode::unreachable,
              fmt::format("'{}' runs on {} and announces {}, which only processes there can reach; "
                          "let it listen on an address of its network, or announce one",
                          peer.name, peer.host, fmt::join(peer.addresses, ", ")));
}

std::vector<std::string> addresses_to_announce(const AnnounceOptions& options,
                                               const NodeStatus& status) {
  if (status.addresses.empty())
    throw Error(ErrorCode::invalid_argument, "a node that does not listen cannot be announced");
  for (const std::string& address : options.addresses) registry::check_address(address);
  auto addresses =
      options.addresses.empty()
          ? registry::announced_addresses(status.addresses, registry::interface_addresses())
          : options.addresses;
  if (addresses.size() > registry::kMaxAddresses) addresses.resize(registry::kMaxAddresses);
  return addresses;
}

// What the entry says at the moment.
std::string value_of(const Node& node, registry::Record record, const std::string& word) {
  record.peer.status = node.status();
  const bool full = record.peer.status.peers >= record.peer.status.max_peers;
  record.peer.health = !word.empty() ? word : full ? "full" : "ready";
  return registry::encode(record);
}

}  // namespace

std::vector<RegisteredPeer> detail::RegistryImpl::list(Clock::time_point until) const {
  std::vector<RegisteredPeer> peers;
  for (const auto& entry : ask([](registry::Store& store) { return store.list(); }, until)) {
    try {
      peers.push_back(registry::decode(entry.name, entry.value).peer);
    } catch (const Error& error) {
      log(LogLevel::warning, fmt::format("left out: {}", error.what()));
    }
  }
  std::sort(peers.begin(), peers.end(),
            [](const RegisteredPeer& a, const RegisteredPeer& b) { return a.name < b.name; });
  return peers;
}

RegisteredPeer detail::RegistryImpl::resolve(std::string_view name, Clock::time_point until) const {
  require_name(name);
  const auto entry = ask([&](registry::Store& store) { return store.get(name); }, until);
  if (entry) return registry::decode(entry->name, entry->value).peer;
  throw Error(ErrorCode::unreachable,
              fmt::format("registry {} knows no '{}'; {}", shown(), name, names_of(list(until))));
}

namespace {

Peer connect_by(const detail::RegistryImpl& registry, Node& node, std::string_view name,
                const ConnectOptions& options, Clock::time_point until) {
  const RegisteredPeer wanted = registry.resolve(name, until);
  // Whoever can write to the registry could name an address of another who has a certificate, too:
  // it is the name that must be proved.
  ConnectOptions attempt = options;
  if (attempt.server_name.empty()) attempt.server_name = wanted.name;
  std::string reasons;
  for (const std::string& address : usable_addresses(wanted)) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    if (left <= std::chrono::milliseconds(0)) break;
    std::string why;
    try {
      attempt.timeout = left;
      Peer peer = node.connect(address, attempt);
      if (is_the_one(peer, wanted)) return peer;
      why = fmt::format("{} answers there, not {}", peer.name(), wanted.status.name);
      peer.close();
    } catch (const Error& error) {
      // Another address leads to the same node, which would say the same.
      if (error.code() != ErrorCode::unreachable && error.code() != ErrorCode::deadline) throw;
      why = error.what();
    }
    reasons += fmt::format("{}{}", reasons.empty() ? "" : "; ", why);
  }
  throw Error(ErrorCode::unreachable,
              fmt::format("'{}' is registered, but not to be reached: {}", name,
                          reasons.empty() ? "no time is left" : reasons));
}

}  // namespace

Registry::Registry(RegistryOptions options)
    : state_(std::make_unique<detail::RegistryImpl>(std::move(options))) {}
Registry::~Registry() = default;
Registry::Registry(Registry&&) noexcept = default;
Registry& Registry::operator=(Registry&&) noexcept = default;

const std::string& Registry::url() const noexcept { return state_->shown(); }

std::vector<RegisteredPeer> Registry::list() const { return state_->list(); }

RegisteredPeer Registry::resolve(std::string_view name) const { return state_->resolve(name); }

Peer Registry::connect(Node& node, std::string_view name, const ConnectOptions& options) const {
  const Clock::time_point until = time_after(Clock::now(), options.timeout);
  try {
    return connect_by(*state_, node, name, options, until);
  } catch (const Error& error) {
    // What the end of the time cut off.
    if (error.code() != ErrorCode::unreachable || Clock::now() < until) throw;
    throw Error(ErrorCode::deadline, error.what(), error.where());
  }
}

Announcement Registry::announce(const Node& node, const AnnounceOptions& options) const {
  const NodeStatus status = node.status();
  registry::Record record;
  RegisteredPeer& peer = record.peer;
  peer.name = options.name.empty() ? status.name : options.name;
  require_name(peer.name);
  peer.addresses = addresses_to_announce(options, status);
  peer.version = version();
  peer.host = host_name();
  peer.pid = static_cast<std::uint32_t>(::getpid());
  peer.started = std::chrono::system_clock::now();
  record.boot_id = registry::own_boot_id();
  if (options.time_to_live < std::chrono::seconds(1))
    throw Error(ErrorCode::invalid_argument, "AnnounceOptions::time_to_live is at least 1 s");
  detail::Announcer::Setup setup;
  setup.name = peer.name;
  setup.addresses = peer.addresses;
  setup.time_to_live = options.time_to_live;
  setup.log = state_->options().log;
  setup.value = [&node, record](const std::string& word) { return value_of(node, record, word); };
  return Announcement(std::make_unique<detail::Announcer>(state_->make_store(), std::move(setup)));
}

Announcement::Announcement(std::unique_ptr<detail::Announcer> state) noexcept
    : state_(std::move(state)) {}
Announcement::~Announcement() = default;
Announcement::Announcement(Announcement&&) noexcept = default;
Announcement& Announcement::operator=(Announcement&&) noexcept = default;

const std::string& Announcement::name() const noexcept { return state_->setup().name; }
const std::vector<std::string>& Announcement::addresses() const noexcept {
  return state_->setup().addresses;
}
bool Announcement::registered() const noexcept { return state_->registered(); }
void Announcement::set_health(std::string_view word) { state_->set_health(word); }

}  // namespace kvferry
