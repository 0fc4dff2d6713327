#include "shape/uniform_cache.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace kvferry::shape {
namespace {

using nlohmann::json;

constexpr std::string_view kByHand = "; give the geometry of one cache group by hand instead";

struct Sign {
  std::string_view field;
  std::string_view meaning;
};

// Fields that only models with recurrent or convolutional layers have.
constexpr std::array kHybridSigns{
    Sign{"layers_block_type", "kinds of layers that differ"},
    Sign{"hybrid_override_pattern", "kinds of layers that differ"},
    Sign{"block_types", "kinds of layers that differ"},
    Sign{"attn_layer_period", "attention in some layers only"},
    Sign{"attn_layer_indices", "attention in some layers only"},
    Sign{"full_attention_interval", "linear attention in some layers"},
    Sign{"full_attn_idxs", "attention in some layers only"},
    Sign{"linear_attn_config", "linear attention in some layers"},
    Sign{"linear_num_key_heads", "linear attention in some layers"},
    Sign{"mamba_d_state", "state-space layers"},
    Sign{"mamba_d_ssm", "state-space layers"},
    Sign{"ssm_state_size", "state-space layers"},
    Sign{"ssm_cfg", "state-space layers"},
    Sign{"state_size", "state-space layers"},
};

// Fields of attention models whose layers do not all keep the same thing.
constexpr std::array kUnevenSigns{
    Sign{"block_configs", "layers that differ in their heads"},
    Sign{"swa_num_key_value_heads", "layers that differ in their heads"},
    Sign{"num_global_key_value_heads", "layers that differ in their heads"},
    Sign{"global_head_dim", "layers that differ in their head_dim"},
    Sign{"swa_head_dim", "layers that differ in their head_dim"},
    Sign{"index_head_dim", "an indexer's cache beside the main one"},
};

constexpr std::array<std::string_view, 4> kAttention{"full_attention", "sliding_attention",
                                                     "chunked_attention", "attention"};
constexpr std::array<std::string_view, 6> kStateSpaceModels{"mamba", "mamba2", "falcon_mamba",
                                                            "rwkv",  "rwkv5",  "rwkv7"};

template <typename Signs>
void refuse_signs(const ConfigFields& model, const Signs& signs) {
  for (const Sign& sign : signs) {
    if (model.has(sign.field)) {
      model.fail(sign.field, fmt::format("means {}, which is not one uniform paged KV cache{}",
                                         sign.meaning, kByHand));
    }
  }
}

// Requires: "layer_types" is there.
void check_layer_types(const ConfigFields& model, const json& kinds) {
  constexpr std::string_view kField = "layer_types";
  if (!kinds.is_array()) model.fail_value(kField, "a list with a string for each layer");
  for (const json& kind : kinds) {
    if (!kind.is_string() || std::find(kAttention.begin(), kAttention.end(),
                                       kind.get<std::string>()) == kAttention.end()) {
      model.fail(kField, fmt::format("has a layer of kind {}, which is not known to keep a paged "
                                     "KV cache{}",
                                     show(kind), kByHand));
    }
  }
  const auto layers = model.count("num_hidden_layers", 65'536);
  if (layers && *layers != kinds.size()) {
    model.fail(kField,
               fmt::format("has {} layers, but num_hidden_layers is {}", kinds.size(), *layers));
  }
}

// MiniMax: 1 for softmax attention, 0 for linear attention.
void check_attention_list(const ConfigFields& model) {
  const json* kinds = model.find("attn_type_list");
  if (kinds == nullptr) return;
  const bool all_softmax =
      kinds->is_array() &&
      std::all_of(kinds->begin(), kinds->end(), [](const json& kind) { return kind == 1; });
  if (!all_softmax) {
    model.fail("attn_type_list", fmt::format("has layers without a paged KV cache{}", kByHand));
  }
}

}  // namespace

void require_uniform_cache(const ConfigFields& model) {
  if (const auto type = model.text("model_type");
      type && std::find(kStateSpaceModels.begin(), kStateSpaceModels.end(), *type) !=
                  kStateSpaceModels.end()) {
    model.fail("model_type",
               fmt::format("is {}: a state-space model, which has no KV cache", show(json(*type))));
  }
  refuse_signs(model, kUnevenSigns);
  check_attention_list(model);
  // A list of layers decides it: some all-attention models keep unused state-space fields.
  if (const json* kinds = model.find("layer_types")) {
    check_layer_types(model, *kinds);
  } else {
    refuse_signs(model, kHybridSigns);
  }
  if (const json* shared = model.find("num_kv_shared_layers"); shared && *shared != 0) {
    model.fail(
        "num_kv_shared_layers",
        fmt::format("is {}: some layers have no cache of their own{}", show(*shared), kByHand));
  }
  if (const json* crossed = model.find("cross_attention_layers"); crossed && !crossed->empty()) {
    model.fail("cross_attention_layers",
               fmt::format("is {}: those layers keep another cache{}", show(*crossed), kByHand));
  }
}

void require_decoder_only(const ConfigFields& fields) {
  if (fields.flag("is_encoder_decoder").value_or(false)) {
    fields.fail("is_encoder_decoder",
                fmt::format("is true: the cross-attention cache has another shape{}", kByHand));
  }
}

}  // namespace kvferry::shape
