#include "doctor/visible_devices.hpp"

#include <algorithm>
#include <charconv>

#include "doctor/read_file.hpp"

namespace kvferry::cli::doctor {
namespace {

// The GPU's UUID (or the entry itself where GPUs are not known); empty: it names none.
std::string gpu_named(const std::string& entry, const std::vector<std::string>& installed) {
  std::size_t index = 0;
  const char* const end = entry.data() + entry.size();
  const auto [stop, error] = std::from_chars(entry.data(), end, index);
  if (!entry.empty() && error == std::errc{} && stop == end) {
    if (installed.empty()) return entry;
    return index < installed.size() ? installed[index] : std::string();
  }
  // MIG instances have UUIDs of their own, which the list of GPUs does not show.
  if (entry.starts_with("MIG-")) return entry;
  if (!entry.starts_with("GPU-") || entry.size() == 4) return {};
  if (installed.empty()) return entry;
  const auto matches = [&](const std::string& uuid) { return uuid.starts_with(entry); };
  if (std::ranges::count_if(installed, matches) != 1) return {};
  return *std::ranges::find_if(installed, matches);
}

}  // namespace

VisibleDevices read_visible_devices(std::string_view value,
                                    const std::vector<std::string>& installed) {
  VisibleDevices devices;
  if (trimmed(value).empty()) return devices;
  std::vector<std::string> seen;
  for (std::size_t at = 0; at <= value.size();) {
    const std::size_t comma = std::min(value.find(',', at), value.size());
    const std::string entry = trimmed(value.substr(at, comma - at));
    at = comma + 1;
    const std::string gpu = gpu_named(entry, installed);
    if (gpu.empty()) {
      devices.bad.push_back(entry);
    } else if (!devices.bad.empty()) {
      devices.hidden.push_back(entry);
    } else if (std::ranges::find(seen, gpu) != seen.end()) {
      devices.twice = entry;
    } else {
      seen.push_back(gpu);
      devices.shown.push_back(entry);
    }
  }
  if (!devices.twice.empty()) devices.shown.clear();
  return devices;
}

}  // namespace kvferry::cli::doctor
