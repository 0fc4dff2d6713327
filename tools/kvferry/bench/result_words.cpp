#include "bench/result_words.hpp"

#include <fmt/format.h>

#include "bench/text_table.hpp"
#include "units.hpp"

namespace kvferry::cli::bench {
namespace {

constexpr std::uint64_t kMib = 1 << 20;

}  // namespace

std::string_view title(Group group, bool small) noexcept {
  switch (group) {
    case Group::throughput: return "Throughput";
    case Group::blocks: return "Block sizes and layouts";
    case Group::sms: return "SM budgets";
    case Group::latency: return "Latency of small transfers, from the call until it is known done";
    case Group::posting: return "CPU time of the call that posts a transfer";
    case Group::clients: return "Many at once";
    case Group::tcp:
      return small ? "Small transfers over TCP, from the call until known done" : "Over TCP";
    case Group::ucx:
      return small ? "Small transfers over UCX, from the call until known done" : "Over UCX";
  }
  return "Others";
}

std::string what(const Work& work) {
  std::string text = work.direction == "both" ? "both ways" : work.direction;
  const bool many = work.group == Group::clients;
  // Where almost all are scattered that is not said.
  const bool brief = many || work.group == Group::tcp;
  if (work.path == "iperf3")
    text = "iperf3";
  else if (work.path == "openssl")
    text = "OpenSSL alone";
  else if (!brief || work.order != "scattered")
    text += " " + work.order;
  if (work.copy != "auto") text += " " + work.copy;
  if (work.layout != "joint") text += " " + work.layout;
  if (work.max_sms != 0) text += ", " + counted(work.max_sms, "SM");
  if (work.streams != 0) text += ", " + counted(work.streams, "stream");
  if (work.wire == "tls") text += ", TLS";
  if (work.wire == "checksum") text += ", checksum";
  if (many && work.servers == 1) text += ", " + counted(work.clients, "client");
  if (work.servers != 1) text += ", " + counted(work.servers, "server");
  if (work.processes > 1) text += fmt::format(", {} proc.", work.processes);
  return printable(text);
}

std::string pair_of(const Work& work) {
  return printable(fmt::format("{}, {} -> {}", work.link, work.from, work.to));
}

std::string size_of(const Work& work) {
  // Exactly: 65,520 bytes are no "64.0 KiB".
  const std::uint64_t bytes = work.block_bytes;
  const std::string block = bytes % kMib == 0   ? fmt::format("{} MiB", bytes / kMib)
                            : bytes % 1024 == 0 ? fmt::format("{} KiB", bytes / 1024)
                                                : fmt::format("{} B", bytes);
  return fmt::format("{} x {} x {}", block, work.blocks, work.layers);
}

std::string percent_of(const std::optional<stats::Ratio>& ratio) {
  if (!ratio) return {};
  return fmt::format("{:.1f} [{:.1f}, {:.1f}]", 100 * ratio->median, 100 * ratio->ci.low,
                     100 * ratio->ci.high);
}

}  // namespace kvferry::cli::bench
