#include "memory/gpu_uuid.hpp"

#include <fmt/format.h>

namespace kvferry::memory {

std::string format_uuid(const GpuUuid& gpu) {
  std::string text = "GPU-";
  for (std::size_t i = 0; i < gpu.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    fmt::format_to(std::back_inserter(text), "{:02x}", std::to_integer<unsigned>(gpu[i]));
  }
  return text;
}

}  // namespace kvferry::memory
