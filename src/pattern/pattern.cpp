#include "pattern/pattern.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <thread>

#include "kvferry/error.hpp"
#include "pattern/row_pattern.hpp"

namespace kvferry::pattern {
namespace {

// Below this a thread takes longer to start than it saves.
constexpr std::uint64_t kMinBytesPerThread = 1u << 20;

// The blocks of a job in the order that "first mismatch" means: by layer, then by place in the
// list.
struct Job {
  const Pool& pool;
  const std::vector<BlockSpec>& specs;
  std::uint32_t first_layer = 0;
  std::uint64_t items = 0;

  std::uint32_t layer(std::uint64_t item) const {
    return first_layer + static_cast<std::uint32_t>(item / specs.size());
  }
  const BlockSpec& spec(std::uint64_t item) const { return specs[item % specs.size()]; }
  // Calls visit(row, content, offset of the row in the block) for the rows of an item.
  template <typename Visit>
  void for_each_row(std::uint64_t item, Visit visit) const {
    const std::uint32_t parts = pool.kv_parts();
    RowContent content{pool.shape(), layer(item), 0, pool.shape().kv / parts};
    const std::uint64_t block_offset = spec(item).block * pool.block_stride();
    for (std::uint32_t part = 0; part < parts; ++part) {
      content.first_kv = part * content.kvs;
      visit(static_cast<std::byte*>(pool.layer(content.layer, part)) + block_offset, content,
            part * content.bytes());
    }
  }
};

Job make_job(const Pool& pool, const std::vector<BlockSpec>& specs, LayerRange range) {
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (specs[i].block >= pool.blocks()) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("block {} at place {} is out of range: pool '{}' has {} blocks",
                              specs[i].block, i, pool.name(), pool.blocks()));
    }
  }
  const std::uint32_t end = std::min(range.end, pool.shape().layers);
  const std::uint32_t layers = range.begin < end ? end - range.begin : 0;
  return {pool, specs, range.begin, std::uint64_t{layers} * specs.size()};
}

unsigned thread_count(const Job& job, unsigned asked) {
  const std::uint64_t all = asked != 0 ? asked : std::max(1u, std::thread::hardware_concurrency());
  const std::uint64_t bytes = job.items * job.pool.shape().block_bytes();
  return static_cast<unsigned>(
      std::clamp<std::uint64_t>(bytes / kMinBytesPerThread, 1, std::min(all, job.items)));
}

// Splits the items into `threads` contiguous ranges and calls work(thread, begin, end) for each,
// the first on this thread. Throws: Error{resource} when a thread cannot be started.
template <typename Work>
void split(std::uint64_t items, unsigned threads, Work work) {
  std::vector<std::jthread> others;
  others.reserve(threads - 1);
  for (unsigned t = 1; t < threads; ++t) {
    try {
      others.emplace_back(work, t, items * t / threads, items * (t + 1) / threads);
    } catch (const std::system_error& error) {
      throw Error(ErrorCode::resource,
                  fmt::format("cannot start thread {} of {}: {}", t + 1, threads, error.what()));
    }
  }
  work(0u, std::uint64_t{0}, items / threads);
}

}  // namespace

void fill(const Pool& pool, const std::vector<BlockSpec>& blocks, LayerRange layers,
          unsigned threads) {
  const Job job = make_job(pool, blocks, layers);
  if (job.items == 0) return;
  if (pool.device().is_cuda()) return detail::fill_cuda(pool, blocks, layers);
  split(job.items, thread_count(job, threads),
        [&job](unsigned, std::uint64_t begin, std::uint64_t end) {
          for (std::uint64_t item = begin; item < end; ++item) {
            job.for_each_row(item, [&](std::byte* row, const RowContent& content, std::uint64_t) {
              fill_row(row, content, job.spec(item));
            });
          }
        });
}

Mismatch check(const Pool& pool, const std::vector<BlockSpec>& blocks, LayerRange layers,
               unsigned threads) {
  const Job job = make_job(pool, blocks, layers);
  if (job.items == 0) return {};
  if (pool.device().is_cuda()) return detail::check_cuda(pool, blocks, layers);
  const unsigned count = thread_count(job, threads);
  std::vector<Mismatch> found(count);
  split(job.items, count, [&](unsigned thread, std::uint64_t begin, std::uint64_t end) {
    Mismatch mine;  // of its own: threads would contend for the lines `found` lies in
    for (std::uint64_t item = begin; item < end; ++item) {
      job.for_each_row(
          item, [&](const std::byte* row, const RowContent& content, std::uint64_t row_offset) {
            const RowMismatch wrong = check_row(row, content, job.spec(item));
            if (wrong.bytes != 0 && mine.bytes == 0) {
              mine.layer = content.layer;
              mine.block = job.spec(item).block;
              mine.offset = row_offset + wrong.first;
            }
            mine.bytes += wrong.bytes;
          });
    }
    found[thread] = mine;
  });
  // Ranges ascend with the threads: the first that found anything found the first.
  Mismatch all;
  for (const Mismatch& part : found) {
    const std::uint64_t bytes = all.bytes + part.bytes;
    if (all.bytes == 0 && part.bytes != 0) all = part;
    all.bytes = bytes;
  }
  return all;
}

}  // namespace kvferry::pattern
