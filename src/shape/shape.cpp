#include "kvferry/shape.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "kvferry/error.hpp"

namespace kvferry {
namespace {

struct DTypeName {
  DType dtype;
  std::string_view name;
  std::uint32_t bytes;
};
// Indexed by the enumerator's value.
constexpr std::array<DTypeName, 6> kDTypes{{
    {DType::bf16, "bf16", 2},
    {DType::fp16, "fp16", 2},
    {DType::fp32, "fp32", 4},
    {DType::fp8_e4m3, "fp8_e4m3", 1},
    {DType::fp8_e5m2, "fp8_e5m2", 1},
    {DType::int8, "int8", 1},
}};

constexpr std::uint32_t kMaxCount = 65'536;
constexpr std::uint64_t kMaxBlockBytes = 1ull << 30;

bool known(DType dtype) noexcept { return static_cast<std::size_t>(dtype) < kDTypes.size(); }

void check_count(std::string_view field, std::uint32_t value) {
  if (value == 0 || value > kMaxCount) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} is {}; it must be from 1 to {}", field, value, kMaxCount));
  }
}

void add_if_different(std::vector<FieldDiff>& fields, std::string_view field, std::string ours,
                      std::string theirs) {
  if (ours != theirs) fields.push_back({std::string(field), std::move(ours), std::move(theirs)});
}

}  // namespace

std::uint32_t dtype_bytes(DType dtype) noexcept {
  return known(dtype) ? kDTypes[static_cast<std::size_t>(dtype)].bytes : 1;
}

std::string_view to_string(DType dtype) noexcept {
  return known(dtype) ? kDTypes[static_cast<std::size_t>(dtype)].name : "unknown";
}

DType parse_dtype(std::string_view text) {
  for (const DTypeName& entry : kDTypes) {
    if (entry.name == text) return entry.dtype;
  }
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("dtype is '{}'; it must be one of bf16, fp16, fp32, fp8_e4m3, fp8_e5m2 and int8",
                  text.substr(0, 64)));
}

std::uint64_t CacheShape::block_bytes() const noexcept {
  return std::uint64_t{kv} * kv_heads * head_dim * block_tokens * dtype_bytes(dtype);
}

std::uint64_t CacheShape::blocks_for(std::uint64_t memory_bytes) const noexcept {
  const std::uint64_t bytes = block_bytes();
  return bytes == 0 || layers == 0 ? 0 : memory_bytes / bytes / layers;
}

std::uint64_t CacheShape::blocks_for_tokens(std::uint64_t tokens) const noexcept {
  if (block_tokens == 0) return 0;
  // Not (tokens + block_tokens - 1): that wraps for counts near 2^64.
  return tokens / block_tokens + (tokens % block_tokens != 0 ? 1 : 0);
}

void CacheShape::validate() const {
  check_count("layers", layers);
  if (kv != 1 && kv != 2) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("kv is {}; it must be 2 (key and value) or 1 (an MLA latent)", kv));
  }
  check_count("kv_heads", kv_heads);
  check_count("head_dim", head_dim);
  check_count("block_tokens", block_tokens);
  if (!known(dtype)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("dtype has the unknown number {}", static_cast<unsigned>(dtype)));
  }
  // At most 2 * 2^48 * 4 bytes here, so the product itself has not wrapped.
  if (block_bytes() > kMaxBlockBytes) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("block_bytes is {} ({}); it must be at most {}. Make block_tokens "
                            "smaller",
                            block_bytes(), to_string(), kMaxBlockBytes));
  }
}

std::string CacheShape::to_string() const {
  return fmt::format("{} layers x {} x {} heads x {} dims x {} tokens, {}", layers, kv, kv_heads,
                     head_dim, block_tokens, kvferry::to_string(dtype));
}

std::vector<FieldDiff> diff(const CacheShape& ours, const CacheShape& theirs) {
  std::vector<FieldDiff> fields;
  const auto compare = [&fields](std::string_view field, std::uint32_t a, std::uint32_t b) {
    add_if_different(fields, field, std::to_string(a), std::to_string(b));
  };
  compare("layers", ours.layers, theirs.layers);
  compare("kv", ours.kv, theirs.kv);
  compare("kv_heads", ours.kv_heads, theirs.kv_heads);
  compare("head_dim", ours.head_dim, theirs.head_dim);
  compare("block_tokens", ours.block_tokens, theirs.block_tokens);
  add_if_different(fields, "dtype", std::string(to_string(ours.dtype)),
                   std::string(to_string(theirs.dtype)));
  return fields;
}

std::string format_table(const std::vector<FieldDiff>& fields) {
  if (fields.empty()) return {};
  std::size_t field_width = std::string_view("field").size();
  std::size_t ours_width = std::string_view("ours").size();
  for (const FieldDiff& row : fields) {
    field_width = std::max(field_width, row.field.size());
    ours_width = std::max(ours_width, row.ours.size());
  }
  std::string table =
      fmt::format("{:<{}}  {:<{}}  {}", "field", field_width, "ours", ours_width, "theirs");
  for (const FieldDiff& row : fields) {
    table += fmt::format("\n{:<{}}  {:<{}}  {}", row.field, field_width, row.ours, ours_width,
                         row.theirs);
  }
  return table;
}

}  // namespace kvferry
