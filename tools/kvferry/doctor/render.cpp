#include "doctor/render.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "client.hpp"
#include "help.hpp"
#include "units.hpp"

namespace kvferry::cli::doctor {
namespace {

constexpr std::size_t kWidth = 100;
constexpr std::size_t kStateColumn = 9;
// Verified pairs beyond so many are shown as a grid instead of a line each.
constexpr std::size_t kNamedPairs = 16;
// Beyond so many GPUs, only what is not as it should be has lines of its own.
constexpr std::size_t kNamedGpus = 2;

std::string pad(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

// A text of strangers (drivers, peers) below `column`.
std::string block(const std::string& text, std::size_t column) {
  return wrap(printable(text), kWidth - column, column);
}

std::string check_lines(const Check& check, std::size_t name_width) {
  const std::size_t column = 2 + kStateColumn + name_width + 2;
  std::string out =
      fmt::format("  {}{}  {}\n", pad(std::string(to_string(check.state)), kStateColumn),
                  pad(check.name, name_width), block(check.value, column));
  const std::string indent(column, ' ');
  if (!check.meaning.empty() && check.state != State::ok) {
    out += indent + block(check.meaning, column) + '\n';
  }
  if (!check.advice.empty()) out += indent + "-> " + block(check.advice, column + 3) + '\n';
  return out;
}

std::string cell(const std::vector<PairFact>& pairs, const std::string& local,
                 const std::string& remote) {
  for (const PairFact& pair : pairs) {
    if (pair.local != local || pair.remote != remote || pair.private_memory) continue;
    switch (pair.outcome) {
      case PairFact::Outcome::verified: return pair.path;
      case PairFact::Outcome::failed: return "FAILED";
      case PairFact::Outcome::late: return "LATE";
      case PairFact::Outcome::left_out: return "not tried";
    }
  }
  return "-";
}

std::string sharing_grid(const std::vector<PairFact>& pairs) {
  std::vector<std::string> names;
  for (const PairFact& pair : pairs) {
    if (std::ranges::find(names, pair.local) == names.end()) names.push_back(pair.local);
  }
  constexpr std::size_t kCell = 11;
  std::string out = "  " + pad("local \\ remote", 16);
  for (const std::string& name : names) out += pad(name, kCell);
  for (const std::string& local : names) {
    out += "\n  " + pad(local, 16);
    for (const std::string& remote : names) out += pad(cell(pairs, local, remote), kCell);
  }
  return out + '\n';
}

std::string path_lines(const PathState& path) {
  constexpr std::size_t kColumn = 2 + kStateColumn;
  std::string out = fmt::format(
      "  {}{}\n", pad(path.usable ? "usable" : "no", kStateColumn),
      block(fmt::format("{}: {}: {}", path.path, path.between, path.reason), kColumn + 2));
  for (const Need& need : path.needs) {
    out += fmt::format("{}{} {}\n", std::string(kColumn, ' '), need.met ? "+" : "-",
                       block(need.what + ": " + need.has, kColumn + 2));
  }
  return out;
}

// Machines with many GPUs: what is as it should be is counted, not named.
bool is_folded(const Check& check, const Facts& facts) {
  if (check.state != State::ok) return false;
  const bool detail = check.name.starts_with("cuda:") && check.name.find(' ') != std::string::npos;
  return (check.area == "sharing" && facts.sharing.pairs.size() > kNamedPairs) ||
         (check.area == "gpu" && detail && facts.gpu.devices.size() > kNamedGpus);
}

}  // namespace

std::string peer_matrix(const GpuFacts& gpus) {
  constexpr std::size_t kCell = 10;
  std::string out = "  " + pad("from \\ to", 12);
  for (const GpuDevice& gpu : gpus.devices) out += pad(fmt::format("cuda:{}", gpu.ordinal), kCell);
  bool atomics = false;
  for (const GpuDevice& from : gpus.devices) {
    out += "\n  " + pad(fmt::format("cuda:{}", from.ordinal), 12);
    for (const GpuDevice& to : gpus.devices) {
      const auto peer = std::ranges::find_if(gpus.peers, [&](const PeerLink& p) {
        return p.from == from.ordinal && p.to == to.ordinal;
      });
      std::string text = "-";
      if (peer != gpus.peers.end()) {
        text = peer->link == "nvlink" ? fmt::format("NV{}", peer->links)
               : peer->link == "pcie" ? "PCIe"
                                      : "yes";
        if (!peer->access) text = "none";
        if (peer->access && peer->native_atomics) text += '*';
        atomics = atomics || peer->native_atomics;
      }
      out += pad(text, kCell);
    }
  }
  out += "\n  NV18: 18 NVLinks; none: no peer access";
  return out + (atomics ? "; *: native atomics\n" : "\n");
}

std::string summary(const Diagnosis& diagnosis) {
  std::vector<std::string> names;
  for (const PathState& path : diagnosis.paths) {
    if (path.usable && std::ranges::find(names, path.path) == names.end())
      names.push_back(path.path);
  }
  const std::string paths = fmt::format("{}", fmt::join(names, ", "));
  const std::string usable = paths.empty() ? "no path is usable" : "usable: " + paths;
  const std::size_t findings = diagnosis.findings();
  if (findings == 0) {
    return fmt::format("healthy: {}, {}; {}", counted(diagnosis.checks.size(), "check"),
                       counted(diagnosis.count(State::note), "note"), usable);
  }
  return fmt::format("{}: {}, {}; {}", counted(findings, "finding"),
                     counted(diagnosis.count(State::problem), "problem"),
                     counted(diagnosis.count(State::warning), "warning"), usable);
}

std::string to_text(const Facts& facts, const Diagnosis& diagnosis) {
  std::size_t width = 0;
  for (const Check& check : diagnosis.checks) width = std::max(width, check.name.size());
  width = std::min<std::size_t>(width, 26);
  const bool grid = facts.sharing.pairs.size() > kNamedPairs;
  std::string out, area;
  for (const Check& check : diagnosis.checks) {
    if (check.area != area) {
      area = check.area;
      out += fmt::format("{}{}\n", out.empty() ? "" : "\n", area);
      if (area == "sharing" && grid) out += sharing_grid(facts.sharing.pairs);
    }
    if (!is_folded(check, facts)) out += check_lines(check, width);
    if (area == "peers" && check.name == "peer access") out += peer_matrix(facts.gpu);
  }
  out += "\npaths\n";
  for (const PathState& path : diagnosis.paths) out += path_lines(path);
  return out + '\n' + summary(diagnosis);
}

}  // namespace kvferry::cli::doctor
