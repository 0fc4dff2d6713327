#include <fmt/format.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "kvferry/shape.hpp"
#include "shape/config_fields.hpp"
#include "shape/uniform_cache.hpp"

namespace kvferry {
namespace {

using shape::ConfigFields;

constexpr std::uint32_t kMaxCount = 65'536;        // as CacheShape::validate
constexpr std::uint32_t kMaxHiddenSize = 1 << 24;  // far beyond any model

// What a family's config class in Hugging Face transformers documents for an absent field. Configs
// are published without the fields that have these values: Gemma 3 4B says neither heads, nor
// kv heads, nor head_dim, and its head_dim is not hidden_size / heads. 0: there is no such default,
// so the field must be there.
struct Family {
  std::string_view model_type;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  bool multi_head = false;  // no num_key_value_heads: as many as attention heads
};
constexpr std::array kFamilies{
    Family{.model_type = "gemma", .head_dim = 256},
    Family{.model_type = "gemma2", .head_dim = 256},
    Family{.model_type = "gemma3_text", .heads = 8, .kv_heads = 4, .head_dim = 256},
    Family{.model_type = "gpt_oss", .head_dim = 64},
    Family{.model_type = "llama", .multi_head = true},
    Family{.model_type = "phi3", .multi_head = true},
    Family{.model_type = "qwen3", .head_dim = 128},
};

Family family_of(const ConfigFields& model) {
  const auto type = model.text("model_type");
  for (const Family& family : kFamilies) {
    if (type && family.model_type == *type) return family;
  }
  return {};
}

// A field or its family's default. An explicit null is no absent field.
std::optional<std::uint32_t> count_or(const ConfigFields& model, std::string_view field,
                                      std::uint32_t family_default) {
  if (family_default != 0 && !model.contains(field)) return family_default;
  return model.count(field, kMaxCount);
}

std::uint32_t read_head_dim(const ConfigFields& model, const Family& family,
                            std::optional<std::uint32_t> heads) {
  if (const auto head_dim = count_or(model, "head_dim", family.head_dim)) return *head_dim;
  if (family.head_dim != 0) {
    model.fail("head_dim", "is null, but this model_type does not derive it from hidden_size");
  }
  const std::uint32_t hidden_size = model.required_count("hidden_size", kMaxHiddenSize);
  if (!heads) model.required_count("num_attention_heads", kMaxCount);  // says what is wrong with it
  if (hidden_size % *heads != 0) {
    model.fail("head_dim", fmt::format("is missing, and hidden_size {} is no multiple of "
                                       "num_attention_heads {}",
                                       hidden_size, *heads));
  }
  return hidden_size / *heads;
}

void read_attention(const ConfigFields& model, CacheShape& result) {
  const Family family = family_of(model);
  const auto heads = count_or(model, "num_attention_heads", family.heads);
  auto kv_heads = count_or(model, "num_key_value_heads", family.kv_heads);
  if (!kv_heads && family.multi_head) kv_heads = heads;
  result.kv = 2;
  result.kv_heads = kv_heads ? *kv_heads : model.required_count("num_key_value_heads", kMaxCount);
  if (heads && *heads % result.kv_heads != 0) {
    model.fail("num_key_value_heads", fmt::format("is {}, which does not divide "
                                                  "num_attention_heads {}",
                                                  result.kv_heads, *heads));
  }
  result.head_dim = read_head_dim(model, family, heads);
  // DeepSeek's small models write 0 for "as the keys".
  if (const auto* value_dim = model.find("v_head_dim");
      value_dim != nullptr && *value_dim != 0 && *value_dim != result.head_dim) {
    model.fail("v_head_dim",
               fmt::format("is {}, but keys have {} dims: one CacheShape needs keys and values of "
                           "the same size",
                           shape::show(*value_dim), result.head_dim));
  }
}

// Multi-head latent attention caches one vector a token: the compressed keys and values, and the
// rotary part of the key. The config's head counts say nothing about it.
void read_latent(const ConfigFields& model, CacheShape& result) {
  result.kv = 1;
  result.kv_heads = 1;
  result.head_dim = model.required_count("kv_lora_rank", kMaxCount) +
                    model.required_count("qk_rope_head_dim", kMaxCount);
}

bool is_latent(const ConfigFields& model) {
  const bool has_rank = model.has("kv_lora_rank");
  const auto use_mla = model.flag("use_mla");
  if (use_mla) {
    if (has_rank && !*use_mla) {
      model.fail("use_mla", "is false, but kv_lora_rank is given; remove one of them");
    }
    return *use_mla;
  }
  const auto type = model.text("model_type");
  return has_rank || (type && (*type == "deepseek_v2" || *type == "deepseek_v3"));
}

std::optional<DType> read_dtype(const ConfigFields& fields) {
  for (const std::string_view field : {"dtype", "torch_dtype"}) {
    const auto name = fields.text(field);
    if (!name) continue;
    if (*name == "bfloat16") return DType::bf16;
    if (*name == "float16") return DType::fp16;
    if (*name == "float32") return DType::fp32;
  }
  return std::nullopt;
}

}  // namespace

CacheShape shape_from_model_config(std::string_view json, const CacheShape& base) {
  const nlohmann::json config = shape::parse_config(json);
  const ConfigFields outer(config, "");
  const ConfigFields model = outer.object("text_config").value_or(outer);
  shape::require_decoder_only(outer);
  shape::require_decoder_only(model);
  shape::require_uniform_cache(model);
  CacheShape result = base;
  result.layers = model.required_count("num_hidden_layers", kMaxCount);
  if (is_latent(model)) {
    read_latent(model, result);
  } else {
    read_attention(model, result);
  }
  auto dtype = read_dtype(model);
  if (!dtype) dtype = read_dtype(outer);
  result.dtype = dtype.value_or(base.dtype);
  result.validate();
  return result;
}

}  // namespace kvferry
