#include "network_options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>

#include "kvferry/error.hpp"
#include "option_checks.hpp"
#include "option_error.hpp"
#include "quote.hpp"

namespace kvferry::cli {
namespace {

constexpr const char* kNetwork = "The network (path tcp)";

[[noreturn]] void refuse_rate(std::string_view text) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{} is not a rate; give bytes a second, like 500M, 1.5G or 2GB/s, from "
                          "1K to 10000G",
                          quote(std::string(text))));
}

void add_congestion(CLI::App& app, NetworkCommandOptions& o) {
  app.add_option("--congestion", o.congestion,
                 "TCP congestion control of data connections, e.g. cubic, reno or bbr; of both "
                 "ends, where the other was not told one. doctor lists what this kernel has")
      ->type_name("NAME")
      ->default_str("the system's; on loopback not bbr")
      ->group(kNetwork);
}

}  // namespace

void add_move_network(CLI::App& app, NetworkCommandOptions& o) {
  number(app, "--streams", o.streams, {0, 256}, "TCP connections a transfer uses at once")
      ->default_str("0: half as many as cores, 2 to 4")
      ->group(kNetwork);
  add_congestion(app, o);
  app.add_flag("--checksum", o.checksum,
               "send a CRC-32C with every chunk and check it as it lands; TCP's own is 16 bits")
      ->group(kNetwork);
  app.add_option("--rate", o.rate, "at most so many bytes a second, like 500M, 1.5G or 2GB/s")
      ->type_name("RATE")
      ->default_str("no limit")
      ->group(kNetwork);
}

void add_serve_network(CLI::App& app, NetworkCommandOptions& o) {
  add_congestion(app, o);
  app.add_option("--rate", o.rate,
                 "send at most so many bytes a second to all clients together, like 1.5G")
      ->type_name("RATE")
      ->default_str("no limit")
      ->group(kNetwork);
}

NetworkOptions network_of(const NetworkCommandOptions& options, bool serves) {
  NetworkOptions network;
  network.congestion = options.congestion;
  network.streams = options.streams;
  if (serves && !options.rate.empty())
    network.bytes_per_s = naming_option("--rate", [&] { return parse_rate(options.rate); });
  return network;
}

std::vector<std::string> given_for_tcp(const NetworkCommandOptions& options) {
  std::vector<std::string> given;
  if (options.streams != 0) given.emplace_back("--streams");
  if (!options.congestion.empty()) given.emplace_back("--congestion");
  if (options.checksum) given.emplace_back("--checksum");
  if (!options.rate.empty()) given.emplace_back("--rate");
  return given;
}

void apply(const NetworkCommandOptions& options, TransferOptions& transfer) {
  transfer.checksum = options.checksum;
  if (!options.rate.empty())
    transfer.bytes_per_s = naming_option("--rate", [&] { return parse_rate(options.rate); });
}

std::uint64_t parse_rate(std::string_view text) {
  double value = 0;
  const auto [stop, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  std::string_view unit(stop, static_cast<std::size_t>(text.data() + text.size() - stop));
  if (error != std::errc{} || text.empty()) refuse_rate(text);
  if (unit.ends_with("/s")) unit.remove_suffix(2);
  if (unit.ends_with('B')) unit.remove_suffix(1);
  if (unit == "K" || unit == "k") value *= 1e3;
  if (unit == "M") value *= 1e6;
  if (unit == "G") value *= 1e9;
  const bool known = unit.empty() || unit == "K" || unit == "k" || unit == "M" || unit == "G";
  if (!known || !(value >= 1e3) || !(value <= 1e13)) refuse_rate(text);
  return static_cast<std::uint64_t>(value);
}

}  // namespace kvferry::cli
