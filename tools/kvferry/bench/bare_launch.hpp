#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace kvferry::cli::bench {

// What posting a transfer is held against: the driver's own launch of a copy kernel with as many
// bytes of parameters, by hand, with nothing of ours around it. It moves 16 bytes a block.
class BareLaunch {
 public:
  virtual ~BareLaunch() = default;
  virtual void start() = 0;
  virtual void wait() = 0;
};

// On a GPU, with so many ids of a pool of so many blocks. Throws: Error{resource}.
std::unique_ptr<BareLaunch> make_bare_launch(const std::string& device, std::uint32_t ids,
                                             std::uint32_t pool_blocks);

}  // namespace kvferry::cli::bench
