#include "geometry.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "kvferry/error.hpp"

namespace kvferry::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string error_of(const GeometryOptions& options) {
  try {
    resolve_geometry(options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "no error";
}

class ModelFile : public testing::Test {
 protected:
  ModelFile() { std::filesystem::create_directory(dir_); }
  ~ModelFile() override { std::filesystem::remove_all(dir_); }
  std::string write(const std::string& text) const {
    const std::string path = dir_ / "config.json";
    std::ofstream(path) << text;
    return path;
  }
  std::filesystem::path dir_ =
      std::filesystem::path(testing::TempDir()) / ("kvferry-model-" + std::to_string(::getpid()));
};

constexpr const char* kLlama =
    R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 4, "hidden_size": 4096,
        "torch_dtype": "float16"})";

TEST(Geometry, the_defaults_are_the_examples) {
  const Geometry geometry = resolve_geometry({});
  EXPECT_EQ(geometry.shape, CacheShape{});
  EXPECT_EQ(geometry.shape.block_bytes(), 65536u);
  EXPECT_EQ(geometry.blocks, 1638u);
  EXPECT_EQ(geometry.pool_bytes(), 65536ull * 40 * 1638);
}

TEST(Geometry, each_option_overrides_its_field) {
  GeometryOptions options;
  options.layers = 3;
  options.kv = 1;
  options.heads = 5;
  options.dims = 7;
  options.block_tokens = 11;
  options.dtype = "fp8_e4m3";
  EXPECT_EQ(resolve_geometry(options).shape, (CacheShape{3, 1, 5, 7, 11, DType::fp8_e4m3}));
}

TEST_F(ModelFile, a_model_and_what_overrides_it) {
  GeometryOptions options;
  options.model = write(kLlama);
  EXPECT_EQ(resolve_geometry(options).shape, (CacheShape{32, 2, 4, 128, 16, DType::fp16}));
  options.layers = 2;
  options.block_tokens = 32;
  options.dtype = "int8";
  EXPECT_EQ(resolve_geometry(options).shape, (CacheShape{2, 2, 4, 128, 32, DType::int8}));
}

TEST_F(ModelFile, an_unreadable_model_is_named) {
  GeometryOptions options;
  options.model = dir_ / "absent.json";
  EXPECT_THAT(error_of(options),
              AllOf(HasSubstr("--model"), HasSubstr("absent.json"), HasSubstr("No such file")));
  options.model = dir_;
  EXPECT_THAT(error_of(options), HasSubstr("not a file"));
  options.model = write("not json");
  EXPECT_THAT(error_of(options), AllOf(HasSubstr("--model"), HasSubstr("config.json")));
  options.model = write(std::string((1 << 20) + 1, ' '));
  EXPECT_THAT(error_of(options), HasSubstr("larger than 1 MiB"));
}

TEST(Geometry, memory_for_less_than_a_block_names_both_values) {
  GeometryOptions options;
  options.available_memory = "0.001";
  EXPECT_THAT(error_of(options),
              AllOf(HasSubstr("--available-memory 0.001"), HasSubstr("2.5 MiB")));
  options.available_memory = "lots";
  EXPECT_THAT(error_of(options), AllOf(HasSubstr("--available-memory"), HasSubstr("\"lots\"")));
}

TEST(Device, what_is_no_device_is_quoted) {
  for (const char* bad : {"", "gpu", "cuda", "cuda:", "cuda:x", "cuda:-1", "cuda:0x", "HOST"}) {
    try {
      choose_device(bad);
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      EXPECT_THAT(error.what(), AllOf(HasSubstr("--device"), HasSubstr("\"")));
    }
  }
}

TEST(Device, auto_says_what_it_chose_and_why) {
  EXPECT_FALSE(choose_device("host").device.is_cuda());
  const DeviceChoice choice = choose_device("auto");
  EXPECT_EQ(choice.device.is_cuda(), cuda_device_count() > 0);
  EXPECT_THAT(choice.why, HasSubstr("auto: "));
}

TEST(Device, a_gpu_that_is_not_there_is_a_missing_resource) {
  try {
    choose_device("cuda:999");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::resource);
    EXPECT_THAT(error.what(), HasSubstr("cuda:999: no such GPU"));
  }
}

}  // namespace
}  // namespace kvferry::cli
