#include "path/ucx/transports.hpp"

#include <algorithm>
#include <array>

namespace kvferry::path::ucx {
namespace {

// Up to the next of `ends`, which is skipped; what is left stays in `text`.
std::string_view cut(std::string_view& text, std::string_view ends) {
  const auto end = std::min(text.find_first_of(ends), text.size());
  const auto word = text.substr(0, end);
  text.remove_prefix(std::min(text.size(), end + 1));
  return word;
}

std::string_view next_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  return cut(text, " ");
}

// "lane[0]:  1:rc_mlx5/mlx5_0:1.0 md[4] -> md[4]/ib/sysdev[0] rma#0 am am_bw#0 wireup"
bool parse_lane(std::string_view line, Lane& lane) {
  const auto start = line.find("lane[");
  if (start == std::string_view::npos) return false;
  line.remove_prefix(start);
  cut(line, ":");
  std::string_view resource = next_word(line);
  cut(resource, ":");  // its number
  lane.transport = cut(resource, "/");
  // The path index comes behind the last dot; names of devices may have dots.
  lane.device = resource.substr(0, resource.rfind('.'));
  for (auto word = next_word(line); !word.empty(); word = next_word(line))
    lane.one_sided |= word.starts_with("rma#");
  return !lane.transport.empty() && !lane.device.empty();
}

// Those that copy by a processor of one of the two hosts. UD carries messages alone: it never
// shows as one-sided.
bool is_network_card(std::string_view transport) {
  constexpr std::array<std::string_view, 4> kCards = {"rc", "dc", "gga", "ugni"};
  return std::ranges::any_of(kCards, [&](auto card) {
    return transport == card || (transport.starts_with(card) && transport[card.size()] == '_');
  });
}

}  // namespace

std::vector<Lane> parse_lanes(std::string_view info) {
  std::vector<Lane> lanes;
  while (!info.empty()) {
    Lane lane;
    if (parse_lane(cut(info, "\n"), lane)) lanes.push_back(std::move(lane));
  }
  return lanes;
}

Carriage carriage_of(const std::vector<Lane>& lanes) {
  Carriage carriage;
  bool one_sided = false;
  for (const Lane& lane : lanes) {
    one_sided |= lane.one_sided;
    carriage.rdma |= lane.one_sided && is_network_card(lane.transport);
  }
  for (const Lane& lane : lanes) {
    if (one_sided && !lane.one_sided) continue;  // for messages between the two UCX only
    const std::string name = lane.transport + "/" + lane.device;
    if (carriage.text.find(name) != std::string::npos) continue;
    if (!carriage.text.empty()) carriage.text += " + ";
    carriage.text += name;
  }
  if (lanes.empty()) carriage.text = "no transport that it names";
  if (!one_sided) carriage.text += ", in software";
  return carriage;
}

}  // namespace kvferry::path::ucx
