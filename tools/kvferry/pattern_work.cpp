#include "pattern_work.hpp"

#include <algorithm>

namespace kvferry::cli {

template <typename F>
void PatternWork::each_piece(const Pool& pool, std::size_t blocks, LayerRange layers,
                             std::string_view label, F&& work) {
  // Large enough that starting threads or a kernel does not count, small enough for ten updates of
  // the bar a second on a slow machine.
  constexpr std::uint64_t kPieceBytes = std::uint64_t{256} << 20;
  const std::uint32_t end = std::min(layers.end, pool.shape().layers);
  if (blocks == 0 || layers.begin >= end) return;
  const std::uint64_t layer_bytes = pool.shape().block_bytes() * blocks;
  const auto step = static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(kPieceBytes / layer_bytes, 1, end - layers.begin));
  out_.progress().begin(label);
  for (std::uint32_t layer = layers.begin; layer < end; layer += step) {
    interrupts_.throw_if_requested();
    work(LayerRange{layer, std::min(layer + step, end)});
    out_.progress().update(static_cast<double>(layer - layers.begin) / (end - layers.begin));
  }
  out_.progress().clear();
}

void PatternWork::fill(const Pool& pool, const std::vector<pattern::BlockSpec>& blocks,
                       LayerRange layers, std::string_view label) {
  each_piece(pool, blocks.size(), layers, label,
             [&](LayerRange piece) { pattern::fill(pool, blocks, piece); });
}

pattern::Mismatch PatternWork::check(const Pool& pool,
                                     const std::vector<pattern::BlockSpec>& blocks,
                                     LayerRange layers, std::string_view label) {
  pattern::Mismatch sum;
  each_piece(pool, blocks.size(), layers, label, [&](LayerRange piece) {
    const pattern::Mismatch found = pattern::check(pool, blocks, piece);
    const std::uint64_t before = sum.bytes;
    if (before == 0) sum = found;
    sum.bytes = before + found.bytes;
  });
  return sum;
}

std::optional<pattern::Fill> fill_from_tag(std::string_view tag) {
  if (tag == "fill=ones") return pattern::Fill::ones;
  if (tag == "fill=indexed") return pattern::Fill::indexed;
  return std::nullopt;
}

pattern::Fill parse_fill(std::string_view name) {
  return name == "ones" ? pattern::Fill::ones : pattern::Fill::indexed;
}

std::vector<pattern::BlockSpec> whole_pool(std::uint32_t blocks, pattern::Fill fill,
                                           std::uint64_t seed) {
  std::vector<pattern::BlockSpec> specs(blocks);
  for (std::uint32_t id = 0; id < blocks; ++id) specs[id] = {id, id, fill, seed};
  return specs;
}

std::uint64_t compared_bytes(const Pool& pool, std::size_t blocks, LayerRange layers) {
  const std::uint32_t end = std::min(layers.end, pool.shape().layers);
  if (layers.begin >= end) return 0;
  return pool.shape().block_bytes() * blocks * (end - layers.begin);
}

}  // namespace kvferry::cli
