#include "bench/result.hpp"

#include <fmt/format.h>

namespace kvferry::cli::bench {

std::string_view to_string(Group group) noexcept {
  switch (group) {
    case Group::throughput: return "throughput";
    case Group::blocks: return "blocks";
    case Group::sms: return "sms";
    case Group::latency: return "latency";
    case Group::posting: return "posting";
    case Group::clients: return "clients";
  }
  return "unknown";
}

std::string Work::key() const {
  std::string key = fmt::format("{}/{}/{}-{}/{}/{}/{}/{}x{}x{}", to_string(group), link, from, to,
                                direction, order, copy, block_bytes, blocks, layers);
  // Only what is out of the ordinary follows, so that most keys stay readable.
  if (path != (link == "host" ? "host_shm" : "cuda_ipc")) key += "/" + path;
  if (layout != "joint") key += "/" + layout;
  if (max_sms != 0) key += fmt::format("/{}sms", max_sms);
  if (servers != 1) key += fmt::format("/{}servers", servers);
  if (clients != 1) key += fmt::format("/{}clients", clients);
  if (processes != 1) key += fmt::format("/{}processes", processes);
  return key;
}

}  // namespace kvferry::cli::bench
