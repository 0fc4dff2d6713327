#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kvferry::cli::doctor {

// CUDA_VISIBLE_DEVICES as CUDA reads it: indices or the starts of UUIDs; the list ends at the first
// entry that is wrong, and an entry given twice hides every GPU.
struct VisibleDevices {
  std::vector<std::string> shown;
  std::vector<std::string> bad;     // entries that name no GPU
  std::vector<std::string> hidden;  // good ones that come after a bad one
  std::string twice;                // an entry that is there twice
};

// `installed`: the UUIDs of all GPUs; empty: not known, then only what cannot be any is bad.
VisibleDevices read_visible_devices(std::string_view value,
                                    const std::vector<std::string>& installed);

}  // namespace kvferry::cli::doctor
