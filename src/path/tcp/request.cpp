#include "path/tcp/request.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace kvferry::path::tcp {
namespace {

[[noreturn]] void refuse(const std::string& why) { throw Error(ErrorCode::invalid_argument, why); }

void check_distinct(const std::vector<IdRun>& runs) {
  std::vector<IdRun> sorted = runs;
  std::sort(sorted.begin(), sorted.end(),
            [](const IdRun& a, const IdRun& b) { return a.first < b.first; });
  for (std::size_t i = 1; i < sorted.size(); ++i)
    if (sorted[i].first - sorted[i - 1].first < sorted[i - 1].count)
      refuse(fmt::format("block {} would be written twice", sorted[i].first));
}

}  // namespace

std::shared_ptr<const PackedRows> lay_out_request(const wire::MoveRequest& request,
                                                  const detail::PoolImpl& pool) {
  const std::uint32_t layers = pool.shape.layers;
  if (request.first_layer >= layers || request.layers > layers - request.first_layer)
    refuse(fmt::format("layers {} to {} are asked for; the pool has {}", request.first_layer,
                       std::uint64_t{request.first_layer} + request.layers, layers));
  for (const IdRun& run : request.runs)
    if (run.count > pool.blocks || run.first > pool.blocks - run.count)
      refuse(fmt::format("blocks {} to {} are asked for; the pool has {}", run.first,
                         std::uint64_t{run.first} + run.count - 1, pool.blocks));
  if (request.direction == Direction::push) check_distinct(request.runs);
  auto rows = std::make_shared<const PackedRows>(
      layout_of(pool.block_map(), request.first_layer, request.first_layer + request.layers),
      request.runs);
  if (rows->bytes() != request.bytes)
    refuse(fmt::format("the request says {} bytes; its blocks and layers have {}", request.bytes,
                       rows->bytes()));
  return rows;
}

std::uint32_t choose_chunk_bytes(std::uint64_t bytes, std::uint64_t block_bytes, unsigned streams,
                                 std::uint64_t bytes_per_s) noexcept {
  // Each costs a launch at a GPU: of 1 MiB they took four and eight streams to 88 % of plain
  // sockets, of 2 MiB to more than 100 (bench_tcp_engine, one H200).
  constexpr std::uint64_t kUsual = wire::kMaxChunkBytes, kLeast = 256u << 10;
  std::uint64_t chunk =
      std::clamp<std::uint64_t>(bytes / (4 * std::max(streams, 1u)), kLeast, kUsual);
  // A chunk goes at once: 20 of them a second keep the rate even.
  if (bytes_per_s != 0)
    chunk = std::clamp<std::uint64_t>(bytes_per_s / 20, wire::kMinChunkBytes, chunk);
  // Whole blocks, where they fit: copies on a GPU then have whole rows.
  if (block_bytes <= chunk)
    chunk = chunk / block_bytes * block_bytes;
  else if (block_bytes <= wire::kMaxChunkBytes && bytes_per_s == 0)
    chunk = block_bytes;
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(chunk, wire::kMinChunkBytes, wire::kMaxChunkBytes));
}

}  // namespace kvferry::path::tcp
