#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "interrupts.hpp"
#include "output.hpp"
#include "pattern/pattern.hpp"

namespace kvferry::cli {

// Fills and checks a pool a few layers at a time, so that the bar moves and Ctrl-C is heard.
class PatternWork {
 public:
  PatternWork(Output& out, const Interrupts& interrupts) : out_(out), interrupts_(interrupts) {}

  // Throws: as pattern::fill, and Error{cancelled} when interrupted.
  void fill(const Pool& pool, const std::vector<pattern::BlockSpec>& blocks, LayerRange layers,
            std::string_view label);
  // The sum over all layers; the place is the lowest layer's. Throws: as fill.
  pattern::Mismatch check(const Pool& pool, const std::vector<pattern::BlockSpec>& blocks,
                          LayerRange layers, std::string_view label);

 private:
  template <typename F>
  void each_piece(const Pool& pool, std::size_t blocks, LayerRange layers, std::string_view label,
                  F&& work);

  Output& out_;
  const Interrupts& interrupts_;
};

// What the server's tag says its pool holds: "fill=ones" or "fill=indexed"; nullopt: nothing known.
std::optional<pattern::Fill> fill_from_tag(std::string_view tag);
// For --fill. Requires: "ones" or "indexed".
pattern::Fill parse_fill(std::string_view name);

// Every block of a pool as its own index says.
std::vector<pattern::BlockSpec> whole_pool(std::uint32_t blocks, pattern::Fill fill,
                                           std::uint64_t seed);
// Bytes that a check of so many blocks over these layers compares.
std::uint64_t compared_bytes(const Pool& pool, std::size_t blocks, LayerRange layers);

}  // namespace kvferry::cli
