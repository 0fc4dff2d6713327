#include "capi/convert.hpp"
#include "capi/sized.hpp"

namespace kvferry::capi {
namespace {

static_assert(static_cast<int>(LogLevel::debug) == KVFERRY_LOG_DEBUG);
static_assert(static_cast<int>(LogLevel::error) == KVFERRY_LOG_ERROR);
static_assert(static_cast<int>(PeerEvent::Kind::connected) == KVFERRY_EVENT_CONNECTED);
static_assert(static_cast<int>(PeerEvent::Kind::refused) == KVFERRY_EVENT_REFUSED);
static_assert(static_cast<int>(PeerEvent::Kind::served) == KVFERRY_EVENT_SERVED);
static_assert(static_cast<int>(PeerEvent::Kind::disconnected) == KVFERRY_EVENT_DISCONNECTED);

kvferry_event describe(const PeerEvent& event) {
  return {.struct_size = sizeof(kvferry_event),
          .peer = event.peer.c_str(),
          .message = event.message.c_str(),
          .pool = event.pool.c_str(),
          .path = event.path.c_str(),
          .blocks = event.blocks,
          .bytes = event.bytes,
          .seconds = event.seconds,
          .kind = static_cast<std::int32_t>(event.kind),
          .direction = static_cast<std::int32_t>(event.direction)};
}

Credentials to_credentials(const kvferry_credentials* credentials) {
  const kvferry_credentials given = read_options(credentials, "credentials");
  check_reserved(given.reserved, "credentials");
  return {.token_file = text_or(given.token_file, ""),
          .certificate = text_or(given.certificate, ""),
          .key = text_or(given.key, ""),
          .authority = text_or(given.authority, ""),
          .plain_data = given.plain_data != 0};
}

NodeOptions to_node_options(const kvferry_node_options* options) {
  const kvferry_node_options given = read_options(options, "node_options");
  NodeOptions to;
  to.name = text_or(given.name, "");
  to.copy_threads = given.copy_threads;
  if (given.max_peers != 0) to.max_peers = given.max_peers;
  to.credentials = to_credentials(given.credentials);
  if (given.peer_silence_ns != 0) to.peer_silence = to_timeout_ms(given.peer_silence_ns);
  if (given.log != nullptr)
    to.log = [log = given.log, user = given.user](LogLevel level, std::string_view text) {
      log(user, static_cast<std::int32_t>(level), std::string(text).c_str());
    };
  if (given.on_event != nullptr)
    to.on_event = [on_event = given.on_event, user = given.user](const PeerEvent& event) {
      const kvferry_event told = describe(event);
      on_event(user, &told);
    };
  return to;
}

Permission to_permission(const kvferry_permission* permission) {
  const kvferry_permission given = read_sized(need(permission, "permission"), "permission");
  if (given.pools == nullptr && given.pool_count > 0) refuse("permission: pools is NULL");
  Permission to;
  to.credential = text_or(given.credential, to.credential.c_str());
  to.read = given.no_read == 0;
  to.write = given.no_write == 0;
  for (std::size_t i = 0; i < given.pool_count; ++i)
    to.pools.emplace_back(&need(given.pools[i], "permission: a pool's name"));
  return to;
}

ConnectOptions to_connect_options(const kvferry_connect_options* options) {
  const kvferry_connect_options given = read_options(options, "connect_options");
  check_reserved(given.reserved, "connect_options");
  ConnectOptions to;
  if (given.timeout_ns != 0) to.timeout = to_timeout_ms(given.timeout_ns);
  to.insecure = given.insecure != 0;
  to.server_name = text_or(given.server_name, "");
  return to;
}

ListenOptions to_listen_options(const kvferry_listen_options* options) {
  const kvferry_listen_options given = read_sized(need(options, "options"), "listen_options");
  check_reserved(given.reserved, "listen_options");
  if (given.port > UINT16_MAX)
    refuse("port " + std::to_string(given.port) + ": ports are 0 (any free one) to 65535");
  ListenOptions to;
  to.ip = text_or(given.ip, to.ip.c_str());
  to.port = static_cast<std::uint16_t>(given.port);
  to.tcp = given.no_tcp == 0;
  to.socket_path = text_or(given.socket_path, "");
  to.insecure = given.insecure != 0;
  if (given.permissions == nullptr && given.permission_count > 0) refuse("permissions is NULL");
  for (std::size_t i = 0; i < given.permission_count; ++i)
    to.permissions.push_back(to_permission(given.permissions[i]));
  return to;
}

// All or none.
void give_peers(std::vector<Peer> peers, kvferry_peer** out, std::size_t capacity) {
  std::vector<std::unique_ptr<kvferry_peer>> made;
  for (std::size_t i = 0; i < peers.size() && i < capacity; ++i)
    made.push_back(std::make_unique<kvferry_peer>(std::move(peers[i])));
  for (std::size_t i = 0; i < made.size(); ++i) out[i] = made[i].release();
}

void give_completion(Node& node, kvferry_completion* out) {
  // A handle that the caller has no room for would be lost.
  constexpr std::size_t kLeast = offsetof(kvferry_completion, reserved) + sizeof(out->reserved);
  if (need(out, "completion").struct_size < kLeast)
    refuse("completion: struct_size is " + std::to_string(out->struct_size) +
           "; every version has at least " + std::to_string(kLeast));
  kvferry_completion filled{};
  write_sized(filled, out, "completion");
  if (auto completion = node.next_completion()) {
    filled.transfer = make<kvferry_transfer>(std::move(completion->transfer));
    filled.tag = completion->tag;
    filled.state = static_cast<std::int32_t>(completion->state);
    write_sized(filled, out, "completion");
  }
}

kvferry_notice_info describe(const Notice& notice) {
  return {.struct_size = 0,
          .peer = notice.peer.c_str(),
          .pool = notice.pool.c_str(),
          .text = notice.text.c_str(),
          .path = notice.path.c_str(),
          .blocks = notice.blocks,
          .bytes = notice.bytes,
          .direction = static_cast<std::int32_t>(notice.direction),
          .reserved = 0};
}

}  // namespace
}  // namespace kvferry::capi

using namespace kvferry::capi;

extern "C" {

kvferry_code kvferry_node_create(const kvferry_node_options* options, kvferry_node** node,
                                 kvferry_error** error) {
  return produce(node, "node", error, [&] { return make<kvferry_node>(to_node_options(options)); });
}

kvferry_code kvferry_node_add(kvferry_node* node, const kvferry_pool* pool, kvferry_error** error) {
  return guard(error, [&] { need(node, "node").node.add(need(pool, "pool").pool); });
}

kvferry_code kvferry_node_listen(kvferry_node* node, const kvferry_listen_options* options,
                                 kvferry_error** error) {
  return guard(error, [&] { need(node, "node").node.listen(to_listen_options(options)); });
}

kvferry_code kvferry_node_port(const kvferry_node* node, uint16_t* port, kvferry_error** error) {
  return produce(port, "port", error, [&] { return need(node, "node").node.port(); });
}

kvferry_code kvferry_node_connect(kvferry_node* node, const char* address,
                                  const kvferry_connect_options* options, kvferry_peer** peer,
                                  kvferry_error** error) {
  return produce(peer, "peer", error, [&] {
    const std::string_view to = &need(address, "address");
    return make<kvferry_peer>(need(node, "node").node.connect(to, to_connect_options(options)));
  });
}

kvferry_code kvferry_node_peers(const kvferry_node* node, kvferry_peer** peers, size_t capacity,
                                size_t* count, kvferry_error** error) {
  return produce(count, "count", error, [&] {
    if (peers == nullptr && capacity > 0) refuse("peers is NULL");
    std::vector<kvferry::Peer> connected = need(node, "node").node.peers();
    const std::size_t number = connected.size();
    give_peers(std::move(connected), peers, capacity);
    return number;
  });
}

kvferry_code kvferry_node_event_fd(const kvferry_node* node, int* fd, kvferry_error** error) {
  return guard(error, [&] {
    need(fd, "fd") = -1;
    *fd = need(node, "node").node.event_fd();
  });
}

kvferry_code kvferry_node_next_completion(kvferry_node* node, kvferry_completion* completion,
                                          kvferry_error** error) {
  return guard(error, [&] { give_completion(need(node, "node").node, completion); });
}

kvferry_code kvferry_node_next_notice(kvferry_node* node, kvferry_notice** notice,
                                      kvferry_error** error) {
  return produce(notice, "notice", error, [&] {
    auto next = need(node, "node").node.next_notice();
    return next ? make<kvferry_notice>(std::move(*next)) : nullptr;
  });
}

kvferry_code kvferry_notice_get_info(const kvferry_notice* notice, kvferry_notice_info* info,
                                     kvferry_error** error) {
  return guard(error,
               [&] { write_sized(describe(need(notice, "notice").notice), info, "notice_info"); });
}

void kvferry_notice_free(kvferry_notice* notice) { delete notice; }
void kvferry_node_free(kvferry_node* node) { delete node; }

}  // extern "C"
