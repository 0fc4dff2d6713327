#include "geometry_options.hpp"

#include "option_checks.hpp"

namespace kvferry::cli {

void add_geometry(CLI::App& app, GeometryOptions& o, const char* group) {
  app.add_option("--model", o.model,
                 "take the geometry from a Hugging Face config.json; the options below override it")
      ->type_name("CONFIG.json")
      ->check(not_empty())
      ->group(group);
  // CacheShape::validate() says what is too much; these bounds only keep the numbers numbers.
  const auto field = [&](const char* name, std::optional<std::uint32_t>& value, const char* text,
                         const char* fallback) {
    number(app, name, value, {1, UINT32_MAX}, text)->default_str(fallback)->group(group);
  };
  field("--layers", o.layers, "attention layers", "40, or the model's");
  field("--kv", o.kv, "2: keys and values; 1: one MLA latent", "2, or the model's");
  field("--heads", o.heads, "KV heads (kv_heads)", "8, or the model's");
  field("--dims", o.dims, "elements of a head (head_dim)", "128, or the model's");
  field("--block-size", o.block_tokens, "tokens in a block (block_tokens)", "16");
  choice(app, "--dtype", o.dtype, "bf16|fp16|fp32|fp8_e4m3|fp8_e5m2|int8", "element type")
      ->default_str("bf16, or the model's")
      ->group(group);
}

}  // namespace kvferry::cli
