#include "capi/convert.hpp"
#include "capi/sized.hpp"

namespace kvferry::capi {
namespace {

DType to_dtype(std::int32_t number) {
  if (number < KVFERRY_BF16 || number > KVFERRY_INT8)
    refuse("dtype " + std::to_string(number) + ": it is one of KVFERRY_BF16 (0) to KVFERRY_INT8 (" +
           std::to_string(KVFERRY_INT8) + ")");
  return static_cast<DType>(number);
}

static_assert(static_cast<int>(DType::bf16) == KVFERRY_BF16);
static_assert(static_cast<int>(DType::fp16) == KVFERRY_FP16);
static_assert(static_cast<int>(DType::fp32) == KVFERRY_FP32);
static_assert(static_cast<int>(DType::fp8_e4m3) == KVFERRY_FP8_E4M3);
static_assert(static_cast<int>(DType::fp8_e5m2) == KVFERRY_FP8_E5M2);
static_assert(static_cast<int>(DType::int8) == KVFERRY_INT8);

CacheShape unchecked_shape(const kvferry_shape* shape) {
  const kvferry_shape given = read_sized(need(shape, "shape"), "shape");
  return {.layers = given.layers,
          .kv = given.kv,
          .kv_heads = given.kv_heads,
          .head_dim = given.head_dim,
          .block_tokens = given.block_tokens,
          .dtype = to_dtype(given.dtype)};
}

}  // namespace

CacheShape to_shape(const kvferry_shape* shape) {
  const CacheShape given = unchecked_shape(shape);
  given.validate();
  return given;
}

void give_shape(const CacheShape& shape, kvferry_shape* out) {
  const kvferry_shape filled{.struct_size = 0,
                             .layers = shape.layers,
                             .kv = shape.kv,
                             .kv_heads = shape.kv_heads,
                             .head_dim = shape.head_dim,
                             .block_tokens = shape.block_tokens,
                             .dtype = static_cast<std::int32_t>(shape.dtype)};
  write_sized(filled, out, "shape");
}

}  // namespace kvferry::capi

using kvferry::CacheShape;
using namespace kvferry::capi;

extern "C" {

kvferry_code kvferry_shape_default(kvferry_shape* shape, kvferry_error** error) {
  return guard(error, [&] { give_shape(CacheShape{}, shape); });
}

kvferry_code kvferry_shape_from_model_config(const char* json, size_t length, kvferry_shape* shape,
                                             kvferry_error** error) {
  return guard(error, [&] {
    const std::string_view text(&need(json, "json"), length);
    give_shape(kvferry::shape_from_model_config(text, unchecked_shape(shape)), shape);
  });
}

kvferry_code kvferry_shape_block_bytes(const kvferry_shape* shape, uint64_t* bytes,
                                       kvferry_error** error) {
  return produce(bytes, "bytes", error, [&] { return to_shape(shape).block_bytes(); });
}

kvferry_code kvferry_shape_blocks_for(const kvferry_shape* shape, uint64_t memory_bytes,
                                      uint64_t* blocks, kvferry_error** error) {
  return produce(blocks, "blocks", error, [&] { return to_shape(shape).blocks_for(memory_bytes); });
}

kvferry_code kvferry_shape_blocks_for_tokens(const kvferry_shape* shape, uint64_t tokens,
                                             uint64_t* blocks, kvferry_error** error) {
  return produce(blocks, "blocks", error,
                 [&] { return to_shape(shape).blocks_for_tokens(tokens); });
}

const char* kvferry_dtype_name(int32_t dtype) {
  if (dtype < KVFERRY_BF16 || dtype > KVFERRY_INT8) return nullptr;
  return to_string(static_cast<kvferry::DType>(dtype)).data();  // a literal, which ends with a 0
}

kvferry_code kvferry_dtype_parse(const char* name, int32_t* dtype, kvferry_error** error) {
  return produce(dtype, "dtype", error, [&] {
    return static_cast<std::int32_t>(kvferry::parse_dtype(&need(name, "name")));
  });
}

}  // extern "C"
