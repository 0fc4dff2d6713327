#include "doctor/facts_json.hpp"

#include <array>
#include <utility>

#include "kvferry/error.hpp"

namespace kvferry::cli::doctor {
namespace {

using Outcome = PairFact::Outcome;
constexpr std::array<std::pair<Outcome, std::string_view>, 4> kOutcomes{{
    {Outcome::verified, "verified"},
    {Outcome::failed, "failed"},
    {Outcome::late, "late"},
    {Outcome::left_out, "left_out"},
}};

template <typename T>
Json value_or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

template <typename T>
std::optional<T> optional_of(const Json& json, const char* key) {
  const Json& value = json.at(key);
  return value.is_null() ? std::nullopt : std::optional<T>(value.get<T>());
}

std::string text_of(const Json& json, const char* key) {
  const Json& value = json.at(key);
  return value.is_null() ? std::string() : value.get<std::string>();
}

GpuDevice device_of(const Json& json) {
  GpuDevice gpu;
  gpu.ordinal = json.at("ordinal");
  gpu.name = text_of(json, "name");
  gpu.uuid = text_of(json, "uuid");
  gpu.pci = text_of(json, "pci");
  gpu.compute_major = json.at("compute_major");
  gpu.compute_minor = json.at("compute_minor");
  gpu.sms = json.at("sms");
  gpu.memory_bytes = json.at("memory_bytes");
  gpu.memory_free = optional_of<std::uint64_t>(json, "memory_free_bytes");
  gpu.ecc = optional_of<bool>(json, "ecc");
  gpu.mig = optional_of<bool>(json, "mig");
  gpu.mps = json.at("mps");
  gpu.compute_mode = json.at("compute_mode");
  gpu.vmm = json.at("vmm");
  gpu.posix_fd = json.at("posix_fd");
  gpu.fabric = json.at("fabric");
  gpu.gpu_direct_rdma = json.at("gpu_direct_rdma");
  gpu.numa_node = optional_of<int>(json, "numa_node");
  gpu.nvlinks = optional_of<int>(json, "nvlinks");
  gpu.clock_mhz = optional_of<int>(json, "clock_mhz");
  gpu.max_clock_mhz = optional_of<int>(json, "max_clock_mhz");
  return gpu;
}

PeerLink peer_of(const Json& json) {
  PeerLink peer;
  peer.from = json.at("from");
  peer.to = json.at("to");
  peer.access = json.at("access");
  peer.native_atomics = json.at("native_atomics");
  peer.link = text_of(json, "link");
  peer.links = json.at("links");
  peer.note = text_of(json, "note");
  return peer;
}

// A process of doctor's that was ended half-way may leave anything.
template <typename F>
auto reading(const char* what, F&& read) {
  try {
    return read();
  } catch (const Json::exception& error) {
    throw Error(ErrorCode::resource, std::string(what) + " cannot be understood: " + error.what());
  }
}

}  // namespace

std::string_view to_string(Outcome outcome) noexcept {
  for (const auto& [value, name] : kOutcomes) {
    if (value == outcome) return name;
  }
  return "left_out";
}

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json to_json(const GpuDevice& g) {
  return {{"ordinal", g.ordinal},
          {"name", g.name},
          {"uuid", g.uuid},
          {"pci", g.pci},
          {"compute_major", g.compute_major},
          {"compute_minor", g.compute_minor},
          {"sms", g.sms},
          {"memory_bytes", g.memory_bytes},
          {"memory_free_bytes", value_or_null(g.memory_free)},
          {"ecc", value_or_null(g.ecc)},
          {"mig", value_or_null(g.mig)},
          {"mps", g.mps},
          {"compute_mode", g.compute_mode},
          {"vmm", g.vmm},
          {"posix_fd", g.posix_fd},
          {"fabric", g.fabric},
          {"gpu_direct_rdma", g.gpu_direct_rdma},
          {"numa_node", value_or_null(g.numa_node)},
          {"nvlinks", value_or_null(g.nvlinks)},
          {"clock_mhz", value_or_null(g.clock_mhz)},
          {"max_clock_mhz", value_or_null(g.max_clock_mhz)}};
}

Json to_json(const PeerLink& p) {
  return {{"from", p.from},
          {"to", p.to},
          {"access", p.access},
          {"native_atomics", p.native_atomics},
          {"link", text_or_null(p.link)},
          {"links", p.links},
          {"note", text_or_null(p.note)}};
}

Json to_json(const PairFact& p) {
  return {{"local", p.local},
          {"remote", p.remote},
          {"private_memory", p.private_memory},
          {"outcome", to_string(p.outcome)},
          {"path", text_or_null(p.path)},
          {"pull_method", text_or_null(p.pull_method)},
          {"push_method", text_or_null(p.push_method)},
          {"bytes", p.bytes},
          {"seconds", p.seconds},
          {"reason", text_or_null(p.reason)}};
}

Json to_json(const GpuFacts& facts) {
  Json devices = Json::array(), peers = Json::array();
  for (const GpuDevice& gpu : facts.devices) devices.push_back(to_json(gpu));
  for (const PeerLink& peer : facts.peers) peers.push_back(to_json(peer));
  return {{"built", facts.built},
          {"why_none", text_or_null(facts.why_none)},
          {"late", text_or_null(facts.late)},
          {"driver", text_or_null(facts.driver)},
          {"cuda_driver", facts.cuda_driver},
          {"cuda_runtime", facts.cuda_runtime},
          {"nvml_missing", text_or_null(facts.nvml_missing)},
          {"installed", facts.installed},
          {"devices", std::move(devices)},
          {"peers", std::move(peers)}};
}

GpuFacts gpu_facts_of(const Json& json) {
  return reading("the report on the GPUs", [&] {
    GpuFacts facts;
    facts.built = json.at("built");
    facts.why_none = text_of(json, "why_none");
    facts.late = text_of(json, "late");
    facts.driver = text_of(json, "driver");
    facts.cuda_driver = json.at("cuda_driver");
    facts.cuda_runtime = json.at("cuda_runtime");
    facts.nvml_missing = text_of(json, "nvml_missing");
    facts.installed = json.at("installed").get<std::vector<std::string>>();
    for (const Json& gpu : json.at("devices")) facts.devices.push_back(device_of(gpu));
    for (const Json& peer : json.at("peers")) facts.peers.push_back(peer_of(peer));
    return facts;
  });
}

PairFact pair_of(const Json& json) {
  return reading("the report on a pair", [&] {
    PairFact pair;
    pair.local = text_of(json, "local");
    pair.remote = text_of(json, "remote");
    pair.private_memory = json.at("private_memory");
    for (const auto& [value, name] : kOutcomes) {
      if (json.at("outcome") == name) pair.outcome = value;
    }
    pair.path = text_of(json, "path");
    pair.pull_method = text_of(json, "pull_method");
    pair.push_method = text_of(json, "push_method");
    pair.bytes = json.at("bytes");
    pair.seconds = json.at("seconds");
    pair.reason = text_of(json, "reason");
    return pair;
  });
}

}  // namespace kvferry::cli::doctor
