#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "kvferry/error.hpp"
#include "kvferry/pool.hpp"
#include "path/tcp/packed_rows.hpp"
#include "path/tcp/request.hpp"

// A peer's request to move blocks, as the decoder of messages lets it through, against a pool:
// refused, or laid out so that every byte lies within the blocks and layers it names. Bytes:
// flags (1 push; 2 the count of bytes is made right first), first layer, layers - 1, where a range
// of the stream begins, how long it is; then runs, each its first block and its count - 1, the
// lowest bit of which says that it is to be taken as a number of 32 bits.
namespace {

using namespace kvferry;
using namespace kvferry::path::tcp;

[[noreturn]] void broken(const char* what) {
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

class Bytes {
 public:
  explicit Bytes(std::span<const std::uint8_t> bytes) : rest_(bytes) {}
  bool more() const { return !rest_.empty(); }
  std::uint32_t byte() {
    if (rest_.empty()) return 0;
    const std::uint8_t value = rest_.front();
    rest_ = rest_.subspan(1);
    return value;
  }
  // Small ones are usual.
  std::uint32_t number() {
    const std::uint32_t value = byte();
    if ((value & 1) == 0) return value >> 1;
    return value >> 1 | byte() << 7 | byte() << 15 | byte() << 23;
  }

 private:
  std::span<const std::uint8_t> rest_;
};

const Pool& pool() {
  static const Pool all = Pool::allocate(
      Device::host(),
      {.layers = 3, .kv = 2, .kv_heads = 1, .head_dim = 8, .block_tokens = 4, .dtype = DType::bf16},
      20, {.writable = true});
  return all;
}

// The bytes of a range of the stream, each within its layer; returns how many.
std::uint64_t walk(const PackedRows& rows, std::uint64_t offset, std::uint64_t bytes,
                   const wire::MoveRequest& request) {
  const CacheShape& shape = pool().shape();
  const std::uint64_t layer_bytes = shape.block_bytes() * pool().blocks();
  std::uint64_t seen = 0;
  RowCursor cursor(rows, offset, bytes);
  for (auto piece = cursor.next(); piece.bytes != 0; piece = cursor.next()) {
    bool within = false;
    for (std::uint32_t i = 0; i < request.layers; ++i) {
      const auto base = reinterpret_cast<std::uint64_t>(pool().layer(request.first_layer + i));
      within |= piece.address >= base && piece.address + piece.bytes <= base + layer_bytes;
    }
    if (!within) broken("a piece outside the layers that were asked for");
    seen += piece.bytes;
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes({data, size});
  const std::uint32_t flags = bytes.byte();
  wire::MoveRequest request;
  request.direction = (flags & 1) != 0 ? Direction::push : Direction::pull;
  request.first_layer = bytes.number();
  request.layers = 1 + bytes.number() % 0x7fff'ffff;
  const std::uint64_t begin = bytes.number(), length = bytes.number();
  std::uint64_t blocks = 0;
  while (bytes.more() && request.runs.size() < 64) {
    request.runs.push_back({bytes.number(), 1 + bytes.number()});
    blocks += request.runs.back().count;
  }
  if (request.runs.empty()) return 0;
  request.runs_total = static_cast<std::uint32_t>(request.runs.size());
  request.bytes = (flags & 2) != 0 ? blocks * request.layers * pool().shape().block_bytes() : begin;
  try {
    const auto rows = lay_out_request(request, *pool().state());
    if (rows->bytes() != request.bytes || rows->blocks() != blocks) broken("another size");
    if (walk(*rows, 0, rows->bytes(), request) != rows->bytes()) broken("bytes are missing");
    const std::uint64_t offset = std::min(begin, rows->bytes());
    const std::uint64_t part = std::min(length, rows->bytes() - offset);
    if (walk(*rows, offset, part, request) != part) broken("bytes of a range are missing");
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_argument)
      broken("lay_out_request() throws invalid_argument alone");
  }
  return 0;
}
