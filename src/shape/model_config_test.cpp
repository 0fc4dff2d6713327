#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kvferry/error.hpp"
#include "kvferry/shape.hpp"
#include "shape/published_configs.hpp"

namespace kvferry {
namespace {

namespace published = shape::published;
using nlohmann::json;
using testing::HasSubstr;

std::string message_of(const std::string& text) {
  try {
    shape_from_model_config(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(), testing::MatchesRegex("[ -~]+")) << "printable ASCII on one line";
    return error.what();
  }
  return "no error";
}

// A Llama with some fields replaced.
json llama(const json& changes) {
  json config = json::parse(published::kLlama31);
  config.update(changes);
  return config;
}
std::string message_with(const json& changes) { return message_of(llama(changes).dump()); }
CacheShape shape_of(const json& changes) { return shape_from_model_config(llama(changes).dump()); }

json without(json config, const std::string& field) {
  config.erase(field);
  return config;
}

struct Published {
  std::string_view text;
  CacheShape shape;
};

TEST(ModelConfig, PublishedModels) {
  const std::vector<Published> models{
      {published::kMistralSmall31, {40, 2, 8, 128, 16, DType::bf16}},
      {published::kLlama31, {32, 2, 8, 128, 16, DType::bf16}},
      {published::kLlama1, {32, 2, 32, 128, 16, DType::fp16}},
      {published::kQwen25, {28, 2, 4, 128, 16, DType::bf16}},
      {published::kQwen3Small, {28, 2, 8, 128, 16, DType::bf16}},
      {published::kQwen3Moe, {94, 2, 4, 128, 16, DType::bf16}},
      {published::kMixtral, {32, 2, 8, 128, 16, DType::bf16}},
      {published::kGemma3Small, {34, 2, 4, 256, 16, DType::bf16}},
      {published::kGemma3Large, {62, 2, 16, 128, 16, DType::bf16}},
      {published::kDeepSeekV3, {61, 1, 1, 576, 16, DType::bf16}},
      {published::kDeepSeekV2Lite, {27, 1, 1, 576, 16, DType::bf16}},
      {published::kGptOss, {24, 2, 8, 64, 16, DType::bf16}},
  };
  for (const Published& model : models) {
    EXPECT_EQ(shape_from_model_config(model.text), model.shape)
        << model.text.substr(0, 60) << "\n"
        << shape_from_model_config(model.text).to_string();
  }
}

TEST(ModelConfig, BlockTokensAndUnsaidDtypeComeFromTheBase) {
  const CacheShape base{1, 1, 1, 1, 64, DType::fp8_e4m3};
  EXPECT_EQ(shape_from_model_config(published::kGptOss, base),
            (CacheShape{24, 2, 8, 64, 64, DType::fp8_e4m3}));
  EXPECT_EQ(shape_from_model_config(published::kLlama31, base),
            (CacheShape{32, 2, 8, 128, 64, DType::bf16}));
  EXPECT_EQ(shape_from_model_config(published::kDeepSeekV3, base).block_tokens, 64u);
}

TEST(ModelConfig, Dtypes) {
  EXPECT_EQ(shape_of({{"torch_dtype", "float32"}}).dtype, DType::fp32);
  EXPECT_EQ(shape_of({{"torch_dtype", "float16"}}).dtype, DType::fp16);
  // The newer name wins; names we do not know, and null, are passed over.
  EXPECT_EQ(shape_of({{"dtype", "float32"}}).dtype, DType::fp32);
  EXPECT_EQ(shape_of({{"dtype", nullptr}}).dtype, DType::bf16);
  EXPECT_EQ(shape_of({{"dtype", "auto"}, {"torch_dtype", "float16"}}).dtype, DType::fp16);
  EXPECT_EQ(shape_of({{"torch_dtype", "auto"}}).dtype, CacheShape{}.dtype);
  EXPECT_THAT(message_with(json{{"torch_dtype", 16}}),
              HasSubstr("torch_dtype is 16, but must be a"));
  // The text model's own word is heard before the outer one.
  json nested = json::parse(published::kMistralSmall31);
  nested["text_config"]["torch_dtype"] = "float16";
  EXPECT_EQ(shape_from_model_config(nested.dump()).dtype, DType::fp16);
}

TEST(ModelConfig, HeadDim) {
  EXPECT_EQ(shape_of({{"head_dim", 96}}).head_dim, 96u);
  EXPECT_EQ(shape_of({{"head_dim", nullptr}}).head_dim, 128u);
  EXPECT_THAT(message_with(json{{"hidden_size", 4100}}),
              HasSubstr("head_dim is missing, and hidden_size 4100 is no multiple of "
                        "num_attention_heads 32"));
  json config = without(llama(json::object()), "hidden_size");
  EXPECT_THAT(message_of(config.dump()), HasSubstr("hidden_size is missing"));
  config["head_dim"] = 128;
  EXPECT_EQ(message_of(config.dump()), "no error");
  config.erase("num_attention_heads");
  EXPECT_EQ(message_of(config.dump()), "no error");
  config.erase("head_dim");
  config["hidden_size"] = 4096;
  EXPECT_THAT(message_of(config.dump()), HasSubstr("num_attention_heads is missing"));
  // Families with a documented head_dim do not derive it.
  json qwen3 = without(json::parse(published::kQwen3Small), "head_dim");
  EXPECT_EQ(shape_from_model_config(qwen3.dump()).head_dim, 128u);
  qwen3["head_dim"] = nullptr;
  EXPECT_THAT(message_of(qwen3.dump()), HasSubstr("head_dim is null"));
}

TEST(ModelConfig, KvHeads) {
  EXPECT_EQ(shape_of({{"num_key_value_heads", nullptr}}).kv_heads, 32u);
  EXPECT_EQ(shape_of({{"num_key_value_heads", 1}}).kv_heads, 1u);
  EXPECT_THAT(message_with(json{{"num_key_value_heads", 7}}),
              HasSubstr("num_key_value_heads is 7, which does not divide num_attention_heads 32"));
  // Only families that document it are multi-head where the field is missing.
  for (const auto text : {published::kMixtral, published::kQwen25, published::kQwen3Small}) {
    EXPECT_THAT(message_of(without(json::parse(text), "num_key_value_heads").dump()),
                HasSubstr("num_key_value_heads is missing"));
  }
  json unknown = llama({{"model_type", "someone_elses"}});
  EXPECT_EQ(message_of(unknown.dump()), "no error");
  EXPECT_THAT(message_of(without(unknown, "num_key_value_heads").dump()),
              HasSubstr("num_key_value_heads is missing"));
  EXPECT_EQ(message_of(without(unknown, "model_type").dump()), "no error");
}

TEST(ModelConfig, OddValuesAreNamedWithTheirValue) {
  const std::vector<std::pair<json, std::string>> odd{
      {-40, "is -40,"},
      {0, "is 0,"},
      {40.5, "is 40.5,"},
      {40.0, "is 40.0,"},
      {"40", "is \"40\","},
      {true, "is true,"},
      {65537, "is 65537,"},
      {18446744073709551615u, "is 18446744073709551615,"},
      {json::array({1, 2, 3}), "is a list of 3,"},
      {json::object(), "is an object of 0 fields,"},
  };
  for (const auto& [value, shown] : odd) {
    for (const char* field :
         {"num_hidden_layers", "num_key_value_heads", "num_attention_heads", "head_dim"}) {
      const std::string message = message_with(json{{field, value}});
      EXPECT_THAT(message, testing::StartsWith(fmt::format("model config: {} {}", field, shown)));
      EXPECT_THAT(message, HasSubstr("must be a whole number from 1 to 65536"));
    }
  }
  EXPECT_THAT(message_with(json{{"hidden_size", -1}}), HasSubstr("hidden_size is -1,"));
  EXPECT_THAT(message_with(json{{"num_hidden_layers", nullptr}}), HasSubstr("layers is null"));
  EXPECT_THAT(message_with(json{{"model_type", 7}}), HasSubstr("model_type is 7, but must be a"));
  EXPECT_THAT(message_with(json{{"head_dim", std::string(5'000'000, 'x')}}).size(),
              testing::Lt(250u));
  EXPECT_THAT(message_with(json{{"head_dim", "\xE2\x82\xAC\n"}}), HasSubstr("\\u20ac\\n"));
  EXPECT_THAT(message_of(R"({"num_hidden_layers": 99999999999999999999999})"), HasSubstr("is 9.9"));
  // Each field is fine, but not the block they make.
  EXPECT_THAT(
      message_with(json{
          {"head_dim", 65536}, {"num_key_value_heads", nullptr}, {"num_attention_heads", 65536}}),
      HasSubstr("block_bytes"));
}

TEST(ModelConfig, NestedTextConfig) {
  json config = json::parse(published::kMistralSmall31);
  config["text_config"].erase("num_hidden_layers");
  EXPECT_THAT(message_of(config.dump()), HasSubstr("text_config.num_hidden_layers is missing"));
  config["text_config"] = "mistral";
  EXPECT_THAT(message_of(config.dump()), HasSubstr("text_config is \"mistral\", but must be an"));
  config["text_config"] = nullptr;
  EXPECT_THAT(message_of(config.dump()), HasSubstr("model config: num_hidden_layers is missing"));
}

TEST(ModelConfig, Latents) {
  json config = json::parse(published::kDeepSeekV3);
  EXPECT_THAT(message_of(without(config, "kv_lora_rank").dump()), HasSubstr("kv_lora_rank is mis"));
  EXPECT_THAT(message_of(without(config, "qk_rope_head_dim").dump()),
              HasSubstr("qk_rope_head_dim is missing"));
  config["kv_lora_rank"] = "512";
  EXPECT_THAT(message_of(config.dump()), HasSubstr("kv_lora_rank is \"512\""));
  config["kv_lora_rank"] = 65536;
  EXPECT_THAT(message_of(config.dump()), HasSubstr("head_dim is 65600"));
  // Other families' latents are recognised by the field alone.
  EXPECT_EQ(shape_of({{"kv_lora_rank", 256}, {"qk_rope_head_dim", 32}}),
            (CacheShape{32, 1, 1, 288, 16, DType::bf16}));
  // DeepSeek's small models of this model_type have ordinary attention, and say so.
  json plain = json::parse(published::kDeepSeekV2Lite);
  plain.update({{"use_mla", false}, {"v_head_dim", 0}, {"qk_rope_head_dim", 0}});
  EXPECT_THAT(message_of(plain.dump()), HasSubstr("use_mla is false, but kv_lora_rank is given"));
  plain["kv_lora_rank"] = nullptr;
  EXPECT_EQ(shape_from_model_config(plain.dump()), (CacheShape{27, 2, 16, 128, 16, DType::bf16}));
}

TEST(ModelConfig, WhatIsNoUniformCacheIsRefused) {
  EXPECT_THAT(message_of(std::string(published::kMamba)), HasSubstr("model_type is \"mamba\""));
  EXPECT_THAT(message_of(std::string(published::kQwen3Next)), HasSubstr("full_attention_interval"));
  const std::vector<std::pair<json, std::string>> odd{
      {{{"mamba_d_state", 256}}, "mamba_d_state means state-space layers"},
      {{{"hybrid_override_pattern", "M-M*"}}, "hybrid_override_pattern"},
      {{{"block_configs", json::array()}}, "block_configs"},
      {{{"num_kv_shared_layers", 10}}, "num_kv_shared_layers is 10"},
      {{{"cross_attention_layers", {3, 8}}}, "cross_attention_layers is a list of 2"},
      {{{"is_encoder_decoder", true}}, "is_encoder_decoder is true"},
      {{{"is_encoder_decoder", "no"}}, "is_encoder_decoder is \"no\", but must be true or false"},
      {{{"attn_type_list", {1, 0}}}, "attn_type_list"},
      {{{"index_head_dim", 128}}, "index_head_dim means an indexer's cache"},
      {{{"v_head_dim", 192}}, "v_head_dim is 192, but keys have 128 dims"},
      {{{"layer_types", "full"}}, "layer_types is \"full\""},
      {{{"layer_types", {1}}}, "layer_types has a layer of kind 1,"},
      {{{"layer_types", {"full_attention", "mamba"}}}, "a layer of kind \"mamba\","},
      {{{"layer_types", {"full_attention"}}}, "has 1 layers, but num_hidden_layers is 32"},
  };
  for (const auto& [changes, expected] : odd) {
    EXPECT_THAT(message_with(changes), HasSubstr(expected)) << changes;
  }
  const json fine{{"num_kv_shared_layers", 0},   {"cross_attention_layers", json::array()},
                  {"is_encoder_decoder", false}, {"attn_type_list", {1, 1}},
                  {"v_head_dim", 128},           {"mamba_d_state", nullptr}};
  EXPECT_EQ(message_with(fine), "no error");
  // All-attention Granite 4 keeps its family's state-space fields.
  EXPECT_EQ(message_with(json{{"mamba_d_state", 128},
                              {"layer_types", std::vector<std::string>(32, "attention")}}),
            "no error");
}

TEST(ModelConfig, BadText) {
  EXPECT_THAT(message_of(std::string()), HasSubstr("not valid JSON at byte 1, line 1"));
  EXPECT_THAT(message_of(std::string("{\n\"a\": 1,\n}")), HasSubstr("line 3"));
  EXPECT_THAT(message_of(std::string("{} {}")), HasSubstr("not valid JSON"));
  EXPECT_THAT(message_of(std::string("{\"a\": \"\xFF\"}")), HasSubstr("not valid JSON at byte"));
  EXPECT_THAT(message_of(std::string("{\"a\": 1e999}")), HasSubstr("too large"));
  EXPECT_THAT(message_of(std::string("[1, 2]")),
              HasSubstr("is a list of 2, but must be a JSON ob"));
  EXPECT_THAT(message_of(std::string("{}")), HasSubstr("num_hidden_layers is missing"));
}

TEST(ModelConfig, TextIsBounded) {
  EXPECT_THAT(message_of(std::string((16u << 20) + 1, ' ')),
              HasSubstr("16777217 bytes; at most 16777216"));
  EXPECT_THAT(message_of(std::string(1u << 20, '[')), HasSubstr("more than 64 levels"));
  std::string many = "{\"a\": [";
  while (many.size() < (15u << 20)) many += "{},";
  EXPECT_THAT(message_of(many + "0]}"), HasSubstr("more than 1000000 values"));
}

}  // namespace
}  // namespace kvferry
