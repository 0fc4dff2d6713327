#include <nlohmann/json.hpp>

#include "capi/convert.hpp"
#include "capi/sized.hpp"

namespace kvferry::capi {

namespace {

std::span<const std::uint32_t> to_ids(const std::uint32_t* ids, std::size_t count,
                                      const char* name) {
  if (ids == nullptr && count > 0) refuse(std::string(name) + " is NULL");
  return {ids, count};
}

// As "explain" in docs/json.md. Text of a peer's that is no UTF-8 is replaced, not refused.
std::string as_json(const std::vector<PairExplanation>& pairs) {
  auto list = nlohmann::ordered_json::array();
  for (const PairExplanation& pair : pairs) {
    auto verdicts = nlohmann::ordered_json::array();
    for (const PathVerdict& v : pair.verdicts)
      verdicts.push_back(
          {{"path", v.path}, {"usable", v.usable}, {"slow", v.slow}, {"reason", v.reason}});
    nlohmann::ordered_json chosen;
    if (!pair.chosen.empty()) chosen = pair.chosen;
    list.push_back({{"local_pool", pair.local_pool},
                    {"remote_pool", pair.remote_pool},
                    {"chosen", std::move(chosen)},
                    {"verdicts", std::move(verdicts)}});
  }
  return list.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

const RemotePool& pool_at(const kvferry_pool_list* pools, std::size_t index) {
  const auto& list = need(pools, "pools").pools;
  if (index >= list.size())
    refuse("index " + std::to_string(index) + ": the list has " + std::to_string(list.size()) +
           " pools");
  return list[index];
}

kvferry_remote_pool describe(const RemotePool& pool) {
  return {.struct_size = 0,
          .name = pool.name.c_str(),
          .tag = pool.tag.c_str(),
          .device = pool.device.c_str(),
          .generation = pool.generation,
          .blocks = pool.blocks,
          .writable = pool.writable ? 1u : 0u};
}

// What the four calls with ids are given.
struct MoveArguments {
  const kvferry_peer* peer;
  const kvferry_pool* local;
  const std::uint32_t* remote_ids;
  const std::uint32_t* local_ids;
  std::size_t count;
  const kvferry_transfer_options* options;
};

// One of them; `call` is its member of Peer.
template <typename Handle, typename Call>
kvferry_code move(const MoveArguments& given, Call call, Handle** out, const char* name,
                  kvferry_error** error) noexcept {
  return produce(out, name, error, [&] {
    const Peer& peer = need(given.peer, "peer").peer;
    const Pool& local = need(given.local, "local").pool;
    const auto remote_ids = to_ids(given.remote_ids, given.count, "remote_ids");
    const auto local_ids = to_ids(given.local_ids, given.count, "local_ids");
    return make<Handle>(
        (peer.*call)(local, remote_ids, local_ids, to_transfer_options(given.options)));
  });
}

}  // namespace
}  // namespace kvferry::capi

using namespace kvferry::capi;

extern "C" {

const char* kvferry_peer_name(const kvferry_peer* peer) {
  return peer == nullptr ? nullptr : peer->name.c_str();
}

int32_t kvferry_peer_alive(const kvferry_peer* peer) {
  return peer != nullptr && peer->peer.alive() ? 1 : 0;
}

kvferry_code kvferry_peer_explain(const kvferry_peer* peer, char** json, kvferry_error** error) {
  return produce(json, "json", error,
                 [&] { return give(as_json(need(peer, "peer").peer.explain())); });
}

kvferry_code kvferry_peer_pools(const kvferry_peer* peer, kvferry_pool_list** pools,
                                kvferry_error** error) {
  return produce(pools, "pools", error,
                 [&] { return make<kvferry_pool_list>(need(peer, "peer").peer.pools()); });
}

size_t kvferry_pool_list_size(const kvferry_pool_list* pools) {
  return pools == nullptr ? 0 : pools->pools.size();
}

kvferry_code kvferry_pool_list_get(const kvferry_pool_list* pools, size_t index,
                                   kvferry_remote_pool* pool, kvferry_error** error) {
  return guard(error, [&] { write_sized(describe(pool_at(pools, index)), pool, "remote_pool"); });
}

kvferry_code kvferry_pool_list_get_shape(const kvferry_pool_list* pools, size_t index,
                                         kvferry_shape* shape, kvferry_error** error) {
  return guard(error, [&] { give_shape(pool_at(pools, index).shape, shape); });
}

void kvferry_pool_list_free(kvferry_pool_list* pools) { delete pools; }

kvferry_code kvferry_peer_pull(const kvferry_peer* peer, const kvferry_pool* local,
                               const uint32_t* remote_ids, const uint32_t* local_ids, size_t count,
                               const kvferry_transfer_options* options, kvferry_transfer** transfer,
                               kvferry_error** error) {
  return move({peer, local, remote_ids, local_ids, count, options}, &kvferry::Peer::pull, transfer,
              "transfer", error);
}

kvferry_code kvferry_peer_push(const kvferry_peer* peer, const kvferry_pool* local,
                               const uint32_t* remote_ids, const uint32_t* local_ids, size_t count,
                               const kvferry_transfer_options* options, kvferry_transfer** transfer,
                               kvferry_error** error) {
  return move({peer, local, remote_ids, local_ids, count, options}, &kvferry::Peer::push, transfer,
              "transfer", error);
}

kvferry_code kvferry_peer_prepare(const kvferry_peer* peer, const kvferry_pool* local,
                                  const kvferry_transfer_options* options, kvferry_error** error) {
  return guard(error, [&] {
    need(peer, "peer").peer.prepare(need(local, "local").pool, to_transfer_options(options));
  });
}

void kvferry_peer_close(const kvferry_peer* peer) {
  if (peer != nullptr) peer->peer.close();
}

void kvferry_peer_free(kvferry_peer* peer) { delete peer; }

kvferry_code kvferry_peer_prepare_pull(const kvferry_peer* peer, const kvferry_pool* local,
                                       const uint32_t* remote_ids, const uint32_t* local_ids,
                                       size_t count, const kvferry_transfer_options* options,
                                       kvferry_prepared** prepared, kvferry_error** error) {
  return move({peer, local, remote_ids, local_ids, count, options}, &kvferry::Peer::prepare_pull,
              prepared, "prepared", error);
}

kvferry_code kvferry_peer_prepare_push(const kvferry_peer* peer, const kvferry_pool* local,
                                       const uint32_t* remote_ids, const uint32_t* local_ids,
                                       size_t count, const kvferry_transfer_options* options,
                                       kvferry_prepared** prepared, kvferry_error** error) {
  return move({peer, local, remote_ids, local_ids, count, options}, &kvferry::Peer::prepare_push,
              prepared, "prepared", error);
}

kvferry_code kvferry_prepared_post(const kvferry_prepared* prepared, kvferry_transfer** transfer,
                                   kvferry_error** error) {
  return produce(transfer, "transfer", error, [&] {
    return make<kvferry_transfer>(need(prepared, "prepared").prepared.post());
  });
}

kvferry_code kvferry_prepared_capture(const kvferry_prepared* prepared, void* stream,
                                      kvferry_error** error) {
  return guard(error, [&] { need(prepared, "prepared").prepared.capture({stream}); });
}

kvferry_code kvferry_prepared_status_word(const kvferry_prepared* prepared,
                                          const volatile uint32_t** word, kvferry_error** error) {
  return produce(word, "word", error,
                 [&] { return need(prepared, "prepared").prepared.status_word(); });
}

void kvferry_prepared_free(kvferry_prepared* prepared) { delete prepared; }

}  // extern "C"
