#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

// One process of one contestant, driven by compare.py through JSON lines on standard input and
// output. docs/peers.md has the protocol; peer_driver.py is its twin in Python.
namespace kvferry::peers {

// The memory of one side: `layers` tensors of `blocks` blocks.
struct Geometry {
  int device = -1;  // a CUDA ordinal; -1: host memory
  std::uint32_t layers = 0, blocks = 0;
  std::uint64_t block_bytes = 0;
  std::uint64_t layer_bytes() const noexcept { return blocks * block_bytes; }
  std::uint64_t pool_bytes() const noexcept { return layers * layer_bytes(); }
};

// What the next transfers do: remote[i] -> local[i] of a pull, local[i] -> remote[i] of a push.
struct Work {
  bool pull = true;
  std::vector<std::uint32_t> local, remote;
};

// A way to move blocks. serve() calls the members in the order below, on one thread.
class Contestant {
 public:
  Contestant() = default;
  virtual ~Contestant() = default;
  Contestant(const Contestant&) = delete;
  Contestant& operator=(const Contestant&) = delete;

  // Makes this side's memory. Returns what the other side needs to reach it, and in `settings` what
  // a reader of the results should know of how this contestant was set up.
  virtual nlohmann::json own(const Geometry& geometry, const nlohmann::json& options,
                             nlohmann::json& settings) = 0;
  // Only where transfers start: reaches the side that own() described.
  virtual void connect(const nlohmann::json& address) = 0;
  // Where a layer's block 0 lies, and the distance to the next block.
  virtual std::byte* layer(std::uint32_t layer) const = 0;
  virtual std::uint64_t block_stride() const = 0;
  // Not timed: what this contestant prepares once for transfers it repeats.
  virtual void choose(const Work& work) = 0;
  // One transfer, from the call until it is known to be done.
  virtual void transfer() = 0;
  // How the last transfer copied.
  virtual std::string method() const = 0;
};

// Answers commands until `close` or the end of input. Returns main()'s exit code.
int serve(Contestant& contestant);

}  // namespace kvferry::peers
