#pragma once

#include <string_view>

// For the tests: config.json texts as these models are published (rewrapped), with the odd things
// they have: nested text models, absent fields that mean a family's default, nulls, long lists of
// layers.
namespace kvferry::shape::published {

inline constexpr std::string_view kMistralSmall31 =
    R"json({"architectures": ["Mistral3ForConditionalGeneration"], "image_token_index": 10, "model_type":
"mistral3", "multimodal_projector_bias": false, "projector_hidden_act": "gelu",
"spatial_merge_size": 2, "text_config": {"attention_dropout": 0.0, "head_dim": 128,
"hidden_act": "silu", "hidden_size": 5120, "initializer_range": 0.02, "intermediate_size":
32768, "max_position_embeddings": 131072, "model_type": "mistral", "num_attention_heads": 32,
"num_hidden_layers": 40, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta":
1000000000.0, "sliding_window": null, "use_cache": true, "vocab_size": 131072}, "torch_dtype":
"bfloat16", "transformers_version": "4.50.0.dev0", "vision_config": {"attention_dropout": 0.0,
"head_dim": 64, "hidden_act": "silu", "hidden_size": 1024, "image_size": 1540,
"intermediate_size": 4096, "model_type": "pixtral", "num_attention_heads": 16, "num_channels":
3, "num_hidden_layers": 24, "patch_size": 14, "rope_theta": 10000.0}, "vision_feature_layer":
-1})json";

inline constexpr std::string_view kLlama31 =
    R"json({"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
"bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu",
"hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
"max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
"num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp":
1, "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0,
"high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
"rope_theta": 500000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
"transformers_version": "4.42.3", "use_cache": true, "vocab_size": 128256})json";

// The first Llama: no num_key_value_heads, which its family documents as multi-head attention.
inline constexpr std::string_view kLlama1 =
    R"json({"architectures": ["LLaMAForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act":
"silu", "hidden_size": 4096, "intermediate_size": 11008, "initializer_range": 0.02,
"max_sequence_length": 2048, "model_type": "llama", "num_attention_heads": 32,
"num_hidden_layers": 32, "pad_token_id": 0, "rms_norm_eps": 1e-06, "torch_dtype": "float16",
"transformers_version": "4.27.0.dev0", "use_cache": true, "vocab_size": 32000})json";

inline constexpr std::string_view kQwen25 =
    R"json({"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
"eos_token_id": 151645, "hidden_act": "silu", "hidden_size": 3584, "initializer_range": 0.02,
"intermediate_size": 18944, "max_position_embeddings": 32768, "max_window_layers": 28,
"model_type": "qwen2", "num_attention_heads": 28, "num_hidden_layers": 28,
"num_key_value_heads": 4, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window":
131072, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version":
"4.43.1", "use_cache": true, "use_sliding_window": false, "vocab_size": 152064})json";

// 1024 / 16 is not its head_dim.
inline constexpr std::string_view kQwen3Small =
    R"json({"architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
"bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu",
"hidden_size": 1024, "initializer_range": 0.02, "intermediate_size": 3072,
"max_position_embeddings": 40960, "max_window_layers": 28, "model_type": "qwen3",
"num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps":
1e-06, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null,
"tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.51.0",
"use_cache": true, "use_sliding_window": false, "vocab_size": 151936})json";

inline constexpr std::string_view kQwen3Moe =
    R"json({"architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false, "decoder_sparse_step": 1,
"head_dim": 128, "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 12288,
"max_position_embeddings": 40960, "max_window_layers": 94, "mlp_only_layers": [], "model_type":
"qwen3_moe", "moe_intermediate_size": 1536, "norm_topk_prob": true, "num_attention_heads": 64,
"num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 94, "num_key_value_heads": 4,
"rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": null, "torch_dtype":
"bfloat16", "use_sliding_window": false, "vocab_size": 151936})json";

inline constexpr std::string_view kMixtral =
    R"json({"architectures": ["MixtralForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1,
"eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
"intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mixtral",
"num_attention_heads": 32, "num_experts_per_tok": 2, "num_hidden_layers": 32,
"num_key_value_heads": 8, "num_local_experts": 8, "output_router_logits": false, "rms_norm_eps":
1e-05, "rope_theta": 1000000.0, "router_aux_loss_coef": 0.02, "sliding_window": null,
"tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.36.0.dev0",
"use_cache": true, "vocab_size": 32000})json";

// Leaves out heads, kv heads and head_dim: all have the family's defaults.
inline constexpr std::string_view kGemma3Small =
    R"json({"architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999,
"eoi_token_index": 256000, "eos_token_id": [1, 106], "image_token_index": 262144,
"initializer_range": 0.02, "mm_tokens_per_image": 256, "model_type": "gemma3", "text_config":
{"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
"num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
"sliding_window": 1024}, "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0",
"vision_config": {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304,
"model_type": "siglip_vision_model", "num_attention_heads": 16, "num_hidden_layers": 27,
"patch_size": 14, "vision_use_head": false}})json";

inline constexpr std::string_view kGemma3Large =
    R"json({"architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999,
"eoi_token_index": 256000, "eos_token_id": [1, 106], "image_token_index": 262144,
"initializer_range": 0.02, "mm_tokens_per_image": 256, "model_type": "gemma3", "text_config":
{"head_dim": 128, "hidden_size": 5376, "intermediate_size": 21504, "model_type": "gemma3_text",
"num_attention_heads": 32, "num_hidden_layers": 62, "num_key_value_heads": 16,
"query_pre_attn_scalar": 168, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
"sliding_window": 1024}, "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0",
"vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"}})json";

inline constexpr std::string_view kDeepSeekV3 =
    R"json({"architectures": ["DeepseekV3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
"auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV3Config"}, "aux_loss_alpha": 0.001,
"ep_size": 1, "first_k_dense_replace": 3, "hidden_act": "silu", "hidden_size": 7168,
"intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840,
"model_type": "deepseek_v3", "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8,
"n_routed_experts": 256, "n_shared_experts": 1, "num_attention_heads": 128,
"num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
"num_nextn_predict_layers": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim":
64, "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method":
"fp8", "weight_block_size": [128, 128]}, "rms_norm_eps": 1e-06, "rope_theta": 10000,
"tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.33.1",
"v_head_dim": 128, "vocab_size": 129280})json";

inline constexpr std::string_view kDeepSeekV2Lite =
    R"json({"architectures": ["DeepseekV2ForCausalLM"], "hidden_size": 2048, "intermediate_size": 10944,
"kv_lora_rank": 512, "max_position_embeddings": 163840, "model_type": "deepseek_v2",
"moe_intermediate_size": 1408, "n_routed_experts": 64, "num_attention_heads": 16,
"num_hidden_layers": 27, "num_key_value_heads": 16, "q_lora_rank": null, "qk_nope_head_dim":
128, "qk_rope_head_dim": 64, "torch_dtype": "bfloat16", "v_head_dim": 128, "vocab_size": 102400})json";

// No dtype at all: its weights are MXFP4.
inline constexpr std::string_view kGptOss =
    R"json({"architectures": ["GptOssForCausalLM"], "attention_bias": true, "attention_dropout": 0.0,
"eos_token_id": 200002, "experts_per_token": 4, "head_dim": 64, "hidden_act": "silu",
"hidden_size": 2880, "initial_context_length": 4096, "initializer_range": 0.02,
"intermediate_size": 2880, "layer_types": ["sliding_attention", "full_attention",
"sliding_attention", "full_attention", "sliding_attention", "full_attention",
"sliding_attention", "full_attention", "sliding_attention", "full_attention",
"sliding_attention", "full_attention", "sliding_attention", "full_attention",
"sliding_attention", "full_attention", "sliding_attention", "full_attention",
"sliding_attention", "full_attention", "sliding_attention", "full_attention",
"sliding_attention", "full_attention"], "max_position_embeddings": 131072, "model_type":
"gpt_oss", "num_attention_heads": 64, "num_experts_per_tok": 4, "num_hidden_layers": 24,
"num_key_value_heads": 8, "num_local_experts": 32, "pad_token_id": 199999,
"quantization_config": {"modules_to_not_convert": ["model.layers.*.self_attn",
"model.layers.*.mlp.router"], "quant_method": "mxfp4"}, "rms_norm_eps": 1e-05, "rope_theta":
150000, "sliding_window": 128, "swiglu_limit": 7.0, "tie_word_embeddings": false,
"transformers_version": "4.55.0.dev0", "use_cache": true, "vocab_size": 201088})json";

inline constexpr std::string_view kMamba =
    R"json({"architectures": ["MambaForCausalLM"], "conv_kernel": 4, "expand": 2, "hidden_size": 768,
"model_type": "mamba", "num_hidden_layers": 24, "state_size": 16, "torch_dtype": "float32",
"vocab_size": 50280})json";

inline constexpr std::string_view kQwen3Next =
    R"json({"architectures": ["Qwen3NextForCausalLM"], "full_attention_interval": 4, "head_dim": 256,
"hidden_size": 2048, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
"linear_num_key_heads": 16, "linear_num_value_heads": 32, "model_type": "qwen3_next",
"num_attention_heads": 16, "num_hidden_layers": 48, "num_key_value_heads": 2, "torch_dtype":
"bfloat16"})json";

}  // namespace kvferry::shape::published
