#include "plan/links.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "kvferry/error.hpp"
#include "plan/lists.hpp"
#include "quote.hpp"

namespace kvferry::cli::planning {
namespace {

// Data sheets count NVLink both ways together; these are one way.
constexpr double kNvlink3 = 300, kNvlink4 = 450, kNvlink5 = 900;
// x16, one way: transfers a second x 16 lanes x 128/130 / 8.
constexpr double kPcie4 = 16 * 16 * 128.0 / 130 / 8, kPcie5 = 2 * kPcie4;

// Start and rate of one fused copy of scattered blocks: the cost model in
// include/kvferry/copy_costs.hpp, which links_test.cpp holds these against.
constexpr double kSameStart = 10.0, kSameRate = 1820;
constexpr double kNvlinkStart = 11.8, kNvlinkRate = 370;
constexpr double kPcieStart = 14, kPcieRate = 51.5;
// Host to host: 2,560 pieces of 64 KiB by 8 threads (docs/performance.md); one piece takes 3 us, of
// which 2 are its bytes.
constexpr double kHostStart = 1, kHostRate = 48.6;
// One engine copy after another over NVLink (copy_costs.hpp); loops of cudaMemcpyAsync over 2,560
// pieces of 64 KiB took 3.2 us a piece over NVLink, 3.8 on one GPU, 3.9 over PCIe.
constexpr double kPost = 3.6;

// Of what is on the wire, TCP payload is 1,448 of 1,538 bytes with an MTU of 1,500 (Ethernet with
// its gap 38, IPv4 20, TCP with time stamps 32).
constexpr double kTcpShare = 1448.0 / 1538;
// RDMA with an MTU of 4,096: headers and checksums take about 30 bytes of each packet.
constexpr double kRdmaShare = 4096.0 / 4126;
constexpr double kTcpStart = 50, kRdmaStart = 10;

// Of a link of the user's own.
constexpr double kLeastRate = 1e-6, kMostRate = 1e6, kMostStartUs = 1e9;

Link measured(const char* name, const char* what, double start, double rate, double post,
              const char* source) {
  return {.name = name,
          .what = what,
          .start_us = start,
          .gb_per_s = rate,
          .post_us = post,
          .source = source};
}

// A link nobody measured here, as efficient as the one of its kind that was.
Link like(const char* name, const char* what, double start, double sheet, double efficiency,
          const char* source) {
  return {.name = name,
          .what = what,
          .start_us = start,
          .start_basis = Basis::assumed,
          .gb_per_s = sheet * efficiency,
          .rate_basis = Basis::data_sheet,
          .sheet_gb_per_s = sheet,
          .efficiency = efficiency,
          .post_us = kPost,
          .source = source};
}

Link network(const char* name, double gbit, bool rdma) {
  Link link{.name = name,
            .what = fmt::format("{} at {:.0f} Gbit/s", rdma ? "InfiniBand" : "Ethernet", gbit),
            .start_us = rdma ? kRdmaStart : kTcpStart,
            .start_basis = Basis::assumed,
            .gb_per_s = gbit / 8 * (rdma ? kRdmaShare : kTcpShare),
            .rate_basis = Basis::data_sheet,
            .sheet_gb_per_s = gbit / 8,
            .efficiency = rdma ? kRdmaShare : kTcpShare,
            .between_machines = true,
            .source = {}};
  link.source = rdma
                    ? "InfiniBand's data rate x what packets of 4,096 bytes leave to the payload. "
                      "The start is assumed: one small message and its answer."
                    : "IEEE 802.3's data rate x TCP's payload with an MTU of 1,500 (1,448 of 1,538 "
                      "bytes), if the hosts fill it. The start is assumed: a round trip in one "
                      "data centre, both sides' work included.";
  return link;
}

const std::vector<Link>& table() {
  static const std::vector<Link> links{
      measured("nvlink4", "NVLink 4: H100, H200", kNvlinkStart, kNvlinkRate, kPost,
               "Measured on 2 x H200, scattered blocks: 2.5 MiB in 19 us, 160 MiB in 467 us "
               "(include/kvferry/copy_costs.hpp, docs/performance.md). Contiguous ids: 390 GB/s."),
      measured("same-gpu", "two processes on one GPU: H200", kSameStart, kSameRate, kPost,
               "Measured on H200: 2.5 MiB in 11.5 us, 160 MiB in 101 us "
               "(include/kvferry/copy_costs.hpp, docs/performance.md)."),
      measured("pcie5", "PCIe 5 x16: host memory and GPU", kPcieStart, kPcieRate, kPost,
               "Measured between pinned host memory and H200: 160 MiB in 3.3 to 3.4 ms "
               "(include/kvferry/copy_costs.hpp, docs/performance.md). Two GPUs may get less."),
      measured("host", "host memory and host memory", kHostStart, kHostRate, 0,
               "Measured with 8 threads on a 32-core server: 160 MiB in 3.45 ms "
               "(docs/performance.md). Machines differ: 20 to 50 GB/s were seen."),
      like("nvlink5", "NVLink 5: B200, GB200", kNvlinkStart, kNvlink5, kNvlinkRate / kNvlink4,
           "NVIDIA's data sheet for B200 (1,800 GB/s both ways together) x the share that NVLink 4 "
           "gave (370 of 450). The start is assumed to be that of NVLink 4."),
      like("nvlink3", "NVLink 3: A100", kNvlinkStart, kNvlink3, kNvlinkRate / kNvlink4,
           "NVIDIA's data sheet for A100 (600 GB/s both ways together) x the share that NVLink 4 "
           "gave (370 of 450). The start is assumed to be that of NVLink 4."),
      like("pcie4", "PCIe 4 x16: host memory and GPU", kPcieStart, kPcie4, kPcieRate / kPcie5,
           "PCI Express 4.0's line rate x the share that PCIe 5 gave (51.5 of 63.0). The start is "
           "assumed to be that of PCIe 5."),
      network("ndr400", 400, true),
      network("hdr200", 200, true),
      network("edr100", 100, true),
      network("400gbe", 400, false),
      network("200gbe", 200, false),
      network("100gbe", 100, false),
      network("50gbe", 50, false),
      network("25gbe", 25, false),
      network("10gbe", 10, false),
  };
  return links;
}

const Link& find_link(std::string_view name) {
  const std::string_view real = name == "nvlink" ? "nvlink4" : name;
  const auto found = std::ranges::find(table(), real, &Link::name);
  if (found != table().end()) return *found;
  std::string names = "nvlink";
  for (const Link& link : table()) names += ", " + link.name;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("--link: {} is no link; give some of {} or all, or a rate with "
                          "--gb-per-s",
                          quote(name), names));
}

double parse_number(const char* option, std::string_view text, double low, double high) {
  double value = -1;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  // "inf" and "nan" are numbers to from_chars; neither is within bounds.
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  if (!whole || !(value >= low && value <= high)) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: {} is not a number from {} to {}",
                                                         option, quote(text), low, high));
  }
  return value;
}

}  // namespace

const char* const kPostSource =
    "3.6 us a piece on all links of a GPU: engine copies in a row over NVLink, measured on 2 x "
    "H200 "
    "(include/kvferry/copy_costs.hpp). Loops of cudaMemcpyAsync over 64 KiB pieces took 3.2 us a "
    "piece "
    "over NVLink and 3.8 on one GPU (H100), 3.9 over PCIe (H200).";

std::string_view to_string(Basis basis) noexcept {
  switch (basis) {
    case Basis::measured: return "measured";
    case Basis::data_sheet: return "data sheet";
    case Basis::assumed: return "assumed";
    case Basis::option: return "option";
  }
  return "assumed";
}

std::span<const Link> all_links() { return table(); }

std::vector<std::string> link_words() {
  std::vector<std::string> words{"nvlink"};
  for (const Link& link : table()) words.push_back(link.name);
  words.emplace_back("all");
  return words;
}

std::vector<Link> usual_links() {
  return parse_links("nvlink4,same-gpu,pcie5,host,nvlink5,ndr400,100gbe,25gbe");
}

std::vector<Link> parse_links(std::string_view text) {
  if (text == "all") return table();
  std::vector<Link> links;
  for (const std::string_view name : split_list(text)) {
    const Link& link = find_link(name);
    if (std::ranges::find(links, link.name, &Link::name) != links.end()) {
      throw Error(ErrorCode::invalid_argument, fmt::format("--link: {} is there twice", link.name));
    }
    links.push_back(link);
  }
  return links;
}

Link custom_link(std::string_view rate, std::string_view start_us) {
  const double gb_per_s = parse_number("--gb-per-s", rate, kLeastRate, kMostRate);
  const double start = start_us.empty() ? 0 : parse_number("--start-us", start_us, 0, kMostStartUs);
  return {.name = "custom",
          .what = "--gb-per-s",
          .start_us = start,
          .start_basis = start_us.empty() ? Basis::assumed : Basis::option,
          .gb_per_s = gb_per_s,
          .rate_basis = Basis::option,
          .source = start_us.empty() ? "--gb-per-s; no start-up time was given (--start-us)."
                                     : "--gb-per-s and --start-us."};
}

}  // namespace kvferry::cli::planning
