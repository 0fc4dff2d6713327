#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kvferry/export.hpp"

namespace kvferry {

// Element type of a KV cache.
enum class DType : std::uint8_t {
  bf16 = 0,
  fp16 = 1,
  fp32 = 2,
  fp8_e4m3 = 3,
  fp8_e5m2 = 4,
  int8 = 5
};

// Bytes of one element: 1, 2 or 4.
KVFERRY_API std::uint32_t dtype_bytes(DType dtype) noexcept;
// "bf16", "fp16", "fp32", "fp8_e4m3", "fp8_e5m2", "int8".
KVFERRY_API std::string_view to_string(DType dtype) noexcept;
// Throws: Error{invalid_argument} naming the text and the accepted names.
KVFERRY_API DType parse_dtype(std::string_view text);

// The geometry of a paged KV cache: what one block is. A value; copy it freely.
//
// A cache has `layers` tensors; each is cut into blocks of `block_tokens` tokens; a block holds,
// for every token, `kv` (2: key and value; 1: an MLA latent) x `kv_heads` x `head_dim` elements.
struct KVFERRY_API CacheShape {
  // Defaults: Mistral-Small-3.1 as vLLM 0.10 caches it (the example the project grew from).
  std::uint32_t layers = 40;
  std::uint32_t kv = 2;
  std::uint32_t kv_heads = 8;
  std::uint32_t head_dim = 128;
  std::uint32_t block_tokens = 16;
  DType dtype = DType::bf16;

  // Bytes of one block in one layer: kv * kv_heads * head_dim * block_tokens * dtype_bytes.
  // Requires: validate() passes (then it cannot overflow).
  std::uint64_t block_bytes() const noexcept;
  // Blocks per layer that fit a memory budget: (memory_bytes / block_bytes) / layers, rounded down
  // twice as vLLM does. 4 GiB of the default shape: 1638. Zero when not even one block of every
  // layer fits.
  std::uint64_t blocks_for(std::uint64_t memory_bytes) const noexcept;
  // Blocks that hold `tokens` tokens: ceil(tokens / block_tokens).
  std::uint64_t blocks_for_tokens(std::uint64_t tokens) const noexcept;
  // Throws: Error{invalid_argument} naming the first field that is zero or beyond its bound (layers
  // 65,536; kv 1 or 2; kv_heads, head_dim and block_tokens 65,536; block_bytes 1 GiB).
  void validate() const;
  // "40 layers x 2 x 8 heads x 128 dims x 16 tokens, bf16"
  std::string to_string() const;

  friend bool operator==(const CacheShape&, const CacheShape&) = default;
};

// One field in which two geometries differ.
struct FieldDiff {
  std::string field;
  std::string ours;
  std::string theirs;
  friend bool operator==(const FieldDiff&, const FieldDiff&) = default;
};
// Every field that differs, in declaration order; empty when equal.
KVFERRY_API std::vector<FieldDiff> diff(const CacheShape& ours, const CacheShape& theirs);
// The differences as an aligned table of field, ours, theirs.
KVFERRY_API std::string format_table(const std::vector<FieldDiff>& fields);

// The geometry a Hugging Face config.json describes. Understands nested text_config
// (Mistral-Small-3.1, Gemma 3), Llama, Qwen2/3, Mixtral, GPT-OSS, and MLA latents (DeepSeek-V2/V3:
// kv 1, one head of kv_lora_rank + qk_rope_head_dim). block_tokens and dtype are not the model's to
// say: block_tokens is taken from `base`, dtype from the config's torch_dtype (or dtype) where it
// names one we know, else from `base`. Throws: Error{invalid_argument} naming the field that is
// missing or odd; nothing is guessed.
KVFERRY_API CacheShape shape_from_model_config(std::string_view json, const CacheShape& base = {});

}  // namespace kvferry
