#include "pattern/row_pattern.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace kvferry::pattern {
namespace {

using Bytes = std::vector<std::byte>;

constexpr DType kDTypes[] = {DType::bf16,     DType::fp16,     DType::fp32,
                             DType::fp8_e4m3, DType::fp8_e5m2, DType::int8};

CacheShape small_shape(DType dtype) { return {3, 2, 2, 24, 4, dtype}; }

RowContent whole(const CacheShape& shape, std::uint32_t layer = 0) {
  return {shape, layer, 0, shape.kv};
}

Bytes filled(const RowContent& content, const BlockSpec& spec) {
  Bytes row(content.bytes(), std::byte{0xEE});
  fill_row(row.data(), content, spec);
  return row;
}

// Decodes as the formats are defined, knowing nothing of the encoder: sign, exponent, mantissa.
double decode_float(std::uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int sign = static_cast<int>(bits >> (exponent_bits + mantissa_bits)) & 1;
  const int exponent = static_cast<int>(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const std::uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const double fraction = std::ldexp(static_cast<double>(mantissa), -mantissa_bits);
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
  return sign != 0 ? -magnitude : magnitude;
}

double decode(const std::byte* element, DType dtype) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, element, dtype_bytes(dtype));
  switch (dtype) {
    case DType::bf16: return decode_float(bits, 8, 7);
    case DType::fp16: return decode_float(bits, 5, 10);
    case DType::fp32: return decode_float(bits, 8, 23);
    case DType::fp8_e4m3: return decode_float(bits, 4, 3);
    case DType::fp8_e5m2: return decode_float(bits, 5, 2);
    case DType::int8: return static_cast<std::int8_t>(bits);
  }
  return std::numeric_limits<double>::quiet_NaN();
}

std::vector<double> decode_all(const Bytes& row, DType dtype) {
  std::vector<double> values;
  for (std::size_t i = 0; i < row.size(); i += dtype_bytes(dtype)) {
    values.push_back(decode(row.data() + i, dtype));
  }
  return values;
}

TEST(RowPattern, EveryDtypeDecodesToTheSame32Values) {
  std::set<double> allowed;
  for (int m = 0; m < 4; ++m) {
    for (int k = 0; k < 4; ++k) {
      allowed.insert(std::ldexp(4 + m, k));
      allowed.insert(-std::ldexp(4 + m, k));
    }
  }
  ASSERT_EQ(allowed.size(), 32u);
  const BlockSpec spec{.block = 1, .as_block = 7};
  const auto reference = decode_all(filled(whole(small_shape(DType::fp32)), spec), DType::fp32);
  EXPECT_EQ(std::set<double>(reference.begin(), reference.end()), allowed);
  for (const DType dtype : kDTypes) {
    EXPECT_EQ(decode_all(filled(whole(small_shape(dtype)), spec), dtype), reference)
        << to_string(dtype);
  }
}

// The row against the header's own definition, element by element, and against the bounds of the
// buffer: any length of line takes some path through the vector loops and their remainders.
TEST(RowPattern, FollowsTheDefinitionForAnyLengthAndAlignment) {
  for (const DType dtype : kDTypes) {
    for (std::uint32_t dims = 1; dims <= 70; ++dims) {
      const CacheShape shape{3, 2, 2, dims, 2, dtype};
      const BlockSpec spec{.block = 0, .as_block = dims, .fill = Fill::indexed, .seed = 5};
      const std::uint32_t size = dtype_bytes(dtype);
      const std::size_t shift = dims % 5;
      Bytes buffer(shape.block_bytes() + 16, std::byte{0xEE});
      fill_row(buffer.data() + shift, whole(shape, 2), spec);
      Bytes expected(buffer.size(), std::byte{0xEE});
      std::size_t at = shift;
      for (std::uint32_t kv = 0; kv < 2; ++kv) {
        for (std::uint32_t token = 0; token < 2; ++token) {
          for (std::uint32_t head = 0; head < 2; ++head) {
            for (std::uint32_t dim = 0; dim < dims; ++dim, at += size) {
              const auto key = row_key(5, 2, dims, kv, token, head);
              const std::uint32_t bits = encode(mix(key, dim), dtype);
              std::memcpy(expected.data() + at, &bits, size);
            }
          }
        }
      }
      ASSERT_EQ(buffer, expected) << to_string(dtype) << " " << dims;
      ASSERT_EQ(check_row(buffer.data() + shift, whole(shape, 2), spec).bytes, 0u);
    }
  }
}

TEST(RowPattern, HalvesAreTheWholesHalves) {
  const CacheShape shape = small_shape(DType::bf16);
  const BlockSpec spec{.block = 0, .as_block = 3};
  Bytes joined;
  for (std::uint32_t part = 0; part < 2; ++part) {
    const Bytes half = filled({shape, 1, part, 1}, spec);
    ASSERT_EQ(half.size(), shape.block_bytes() / 2);
    joined.insert(joined.end(), half.begin(), half.end());
    EXPECT_EQ(check_row(half.data(), {shape, 1, part, 1}, spec).bytes, 0u);
    EXPECT_NE(check_row(half.data(), {shape, 1, 1 - part, 1}, spec).bytes, 0u);
  }
  EXPECT_EQ(joined, filled(whole(shape, 1), spec));
}

TEST(RowPattern, LatentsHaveOneKv) {
  const CacheShape shape{2, 1, 1, 576, 16, DType::bf16};
  const Bytes row = filled(whole(shape), {});
  EXPECT_EQ(row.size(), shape.block_bytes());
  EXPECT_EQ(check_row(row.data(), whole(shape), {}).bytes, 0u);
}

TEST(RowPattern, OnesAreOnes) {
  for (const DType dtype : kDTypes) {
    // Longer than a piece, and no multiple of one.
    for (const std::uint32_t dims : {1u, 24u, 1023u}) {
      const CacheShape shape{1, 2, 3, dims, 5, dtype};
      const BlockSpec spec{.block = 0, .as_block = 0, .fill = Fill::ones};
      Bytes row = filled(whole(shape), spec);
      for (const double value : decode_all(row, dtype)) ASSERT_EQ(value, 1.0) << to_string(dtype);
      EXPECT_EQ(check_row(row.data(), whole(shape), spec).bytes, 0u);
      row.back() ^= std::byte{1};
      const RowMismatch found = check_row(row.data(), whole(shape), spec);
      EXPECT_EQ(found.bytes, 1u);
      EXPECT_EQ(found.first, row.size() - 1);
      EXPECT_NE(check_row(filled(whole(shape), {}).data(), whole(shape), spec).bytes, 0u);
    }
  }
}

TEST(RowPattern, BlocksLayersAndSeedsAllDiffer) {
  const CacheShape shape{64, 2, 2, 16, 2, DType::fp8_e5m2};
  std::map<std::string, int> seen;
  int rows = 0;
  for (std::uint32_t layer = 0; layer < 64; ++layer) {
    for (std::uint32_t block = 0; block < 200; ++block) {
      for (std::uint64_t seed : {0ull, 1ull, 0xFFFFFFFFFFFFFFFFull}) {
        const BlockSpec spec{.block = 5, .as_block = block, .fill = Fill::indexed, .seed = seed};
        const Bytes row = filled(whole(shape, layer), spec);
        ++seen[std::string(reinterpret_cast<const char*>(row.data()), row.size())];
        ++rows;
      }
    }
  }
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(rows));
}

// A byte that strayed to the neighbouring head, token, half or dim must not look right there.
TEST(RowPattern, LinesWithinABlockDiffer) {
  const CacheShape shape{1, 2, 8, 128, 16, DType::bf16};
  const Bytes row = filled(whole(shape), {});
  const std::size_t line = 128 * 2;
  std::set<std::string> lines;
  for (std::size_t i = 0; i < row.size(); i += line) {
    lines.insert(std::string(reinterpret_cast<const char*>(row.data()) + i, line));
  }
  EXPECT_EQ(lines.size(), row.size() / line);
  int equal = 0;
  for (std::size_t i = 2; i < row.size(); i += 2) {
    equal += row[i] == row[i - 2] && row[i + 1] == row[i - 1] ? 1 : 0;
  }
  // One of 32 by chance.
  EXPECT_NEAR(equal, static_cast<double>(row.size() / 2 / 32), 200);
}

TEST(RowPattern, FindsEverySingleFlippedBit) {
  for (const DType dtype : kDTypes) {
    const CacheShape shape{1, 2, 1, 19, 2, dtype};
    const BlockSpec spec{.block = 0, .as_block = 11, .fill = Fill::indexed, .seed = 9};
    Bytes row = filled(whole(shape), spec);
    for (std::size_t bit = 0; bit < row.size() * 8; ++bit) {
      const std::byte mask{static_cast<unsigned char>(1u << (bit % 8))};
      row[bit / 8] ^= mask;
      const RowMismatch found = check_row(row.data(), whole(shape), spec);
      ASSERT_EQ(found.bytes, 1u) << to_string(dtype) << " bit " << bit;
      ASSERT_EQ(found.first, bit / 8);
      row[bit / 8] ^= mask;
    }
  }
}

TEST(RowPattern, CountsWrongBytesAndReportsTheFirst) {
  const CacheShape shape{1, 2, 8, 128, 16, DType::bf16};
  Bytes row = filled(whole(shape), {});
  for (const std::size_t at : {65'535u, 40'000u, 513u, 514u, 12'345u}) row[at] ^= std::byte{0x80};
  const RowMismatch found = check_row(row.data(), whole(shape), {});
  EXPECT_EQ(found.bytes, 5u);
  EXPECT_EQ(found.first, 513u);
}

}  // namespace
}  // namespace kvferry::pattern
