#include "memory/gpu_uuid.hpp"

#include <gtest/gtest.h>

namespace kvferry::memory {
namespace {

TEST(GpuUuid, LooksAsNvidiaSmiPrintsIt) {
  GpuUuid gpu{};
  for (std::size_t i = 0; i < gpu.size(); ++i) gpu[i] = static_cast<std::byte>(i * 17);
  EXPECT_EQ(format_uuid(gpu), "GPU-00112233-4455-6677-8899-aabbccddeeff");
}

}  // namespace
}  // namespace kvferry::memory
