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
    case Group::tcp: return "tcp";
    case Group::ucx: return "ucx";
  }
  return "unknown";
}

namespace {

std::string_view usual_path(const Work& work) noexcept {
  if (work.group == Group::tcp || work.group == Group::ucx) return to_string(work.group);
  return work.link == "host" ? "host_shm" : "cuda_ipc";
}

}  // namespace

bool Work::small() const noexcept {
  if (group == Group::latency || group == Group::posting) return true;
  return (group == Group::tcp || group == Group::ucx) && blocks == 1;
}

std::string Work::key() const {
  std::string key = fmt::format("{}/{}/{}-{}/{}/{}/{}/{}x{}x{}", to_string(group), link, from, to,
                                direction, order, copy, block_bytes, blocks, layers);
  // Only what is out of the ordinary follows, so that most keys stay readable.
  if (path != usual_path(*this)) key += "/" + path;
  if (layout != "joint") key += "/" + layout;
  if (max_sms != 0) key += fmt::format("/{}sms", max_sms);
  if (servers != 1) key += fmt::format("/{}servers", servers);
  if (clients != 1) key += fmt::format("/{}clients", clients);
  if (processes != 1) key += fmt::format("/{}processes", processes);
  if (streams != 0) key += fmt::format("/{}streams", streams);
  if (!wire.empty() && wire != "plain") key += "/" + wire;
  return key;
}

}  // namespace kvferry::cli::bench
