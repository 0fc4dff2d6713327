#include "geometry.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "geometry_table.hpp"
#include "kvferry/error.hpp"
#include "option_error.hpp"
#include "quote.hpp"
#include "units.hpp"

namespace kvferry::cli {
namespace {

// A model's config is a few KiB; anything near this is some other file.
constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 20;

struct CloseFile {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

std::string read_config(const std::string& path) {
  const auto fail = [&](const std::string& why) {
    return Error(ErrorCode::invalid_argument,
                 fmt::format("--model: cannot read {}: {}", quote_path(path), why));
  };
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) throw fail(std::strerror(errno));
  if (!S_ISREG(info.st_mode)) throw fail("it is not a file; give the path of a config.json");
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rb"));
  if (!file) throw fail(std::strerror(errno));
  std::string text(kMaxConfigBytes + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) throw fail("reading failed");
  if (text.size() > kMaxConfigBytes) throw fail("it is larger than 1 MiB, no model's config is");
  return text;
}

// What the config says about the dtype, as shape_from_model_config reads it: of the nested
// text_config first, dtype before torch_dtype.
void note_dtype(const std::string& text, Geometry& geometry) {
  const auto config = nlohmann::json::parse(text);
  std::string odd;
  const nlohmann::json* places[] = {
      config.contains("text_config") ? &config["text_config"] : &config, &config};
  for (const nlohmann::json* place : places) {
    for (const char* field : {"dtype", "torch_dtype"}) {
      const auto found = place->find(field);
      if (found == place->end() || !found->is_string()) continue;
      const auto name = found->get<std::string>();
      if (name == "bfloat16" || name == "float16" || name == "float32") {
        geometry.dtype_from = "model";
        return;
      }
      if (odd.empty()) odd = name;
    }
  }
  geometry.dtype_note = fmt::format(
      "dtype: {} (the config names {}); --dtype sets it", to_string(geometry.shape.dtype),
      odd.empty() ? "none" : quote(odd) + ", which kvferry takes for no cache");
}

// Everything but the blocks.
Geometry resolve_shape(const GeometryOptions& options) {
  Geometry geometry;
  CacheShape& shape = geometry.shape;
  // block_tokens and dtype that the config does not say come from here.
  if (!options.model.empty()) {
    const std::string text = read_config(options.model);
    shape = naming_option("--model " + quote_path(options.model),
                          [&] { return shape_from_model_config(text, shape); });
    if (!options.dtype) note_dtype(text, geometry);
  }
  if (options.layers) shape.layers = *options.layers;
  if (options.kv) shape.kv = *options.kv;
  if (options.heads) shape.kv_heads = *options.heads;
  if (options.dims) shape.head_dim = *options.dims;
  if (options.block_tokens) shape.block_tokens = *options.block_tokens;
  if (options.dtype) {
    shape.dtype = parse_dtype(*options.dtype);
    geometry.dtype_from = "option";
  }
  try {
    shape.validate();
  } catch (const Error& error) {
    throw Error(error.code(), with_option_names(error.what()), error.where());
  }
  return geometry;
}

// "4294967296 bytes" -> "4.00 GiB": every number of seven digits or more is a size.
std::string with_readable_sizes(std::string_view text) {
  constexpr std::string_view kUnit = " bytes";
  std::string out;
  while (!text.empty()) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    std::uint64_t bytes = 0;
    if (digits < 7 || std::from_chars(text.data(), text.data() + digits, bytes).ec != std::errc{}) {
      const std::size_t taken = std::max<std::size_t>(digits, 1);
      out += text.substr(0, taken);
      text.remove_prefix(taken);
      continue;
    }
    out += format_bytes(bytes);
    text.remove_prefix(digits);
    if (text.starts_with(kUnit)) text.remove_prefix(kUnit.size());
  }
  return out;
}

}  // namespace

Geometry resolve_geometry(const GeometryOptions& options) {
  Geometry geometry = resolve_shape(options);
  const std::uint64_t memory =
      naming_option("--available-memory", [&] { return parse_gib(options.available_memory); });
  const CacheShape& shape = geometry.shape;
  const std::uint64_t blocks = shape.blocks_for(memory);
  if (blocks == 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--available-memory {} ({}) does not hold one block of every layer, "
                            "which takes {} ({} layers x {})",
                            options.available_memory, format_bytes(memory),
                            format_bytes(shape.block_bytes() * shape.layers), shape.layers,
                            format_bytes(shape.block_bytes())));
  }
  if (blocks > UINT32_MAX) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--available-memory {} holds {} blocks a layer; a pool has at most {}",
                            options.available_memory, blocks, UINT32_MAX));
  }
  geometry.blocks = static_cast<std::uint32_t>(blocks);
  return geometry;
}

Geometry resolve_one_block(const GeometryOptions& options) {
  Geometry geometry = resolve_shape(options);
  geometry.blocks = 1;
  return geometry;
}

Pool allocate_pool(const Device& device, const Geometry& geometry, const PoolOptions& options) {
  try {
    return Pool::allocate(device, geometry.shape, geometry.blocks, options);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::resource) throw;
    throw Error(error.code(),
                fmt::format("{}; --available-memory sets the size of the pool, here {}",
                            with_readable_sizes(error.what()), format_bytes(geometry.pool_bytes())),
                error.where());
  }
}

DeviceChoice choose_device(const std::string& text) {
  if (text == "host") return {Device::host(), {}};
  std::string why;
  const int count = cuda_device_count(&why);
  if (text == "auto") {
    if (count > 0) {
      return {Device::cuda(0), fmt::format("auto: the first of {} usable GPU(s)", count)};
    }
    return {Device::host(), fmt::format("auto: no usable GPU: {}", why)};
  }
  constexpr std::string_view kCuda = "cuda:";
  int ordinal = -1;
  const char* const end = text.data() + text.size();
  if (text.starts_with(kCuda)) {
    const auto [stop, error] = std::from_chars(text.data() + kCuda.size(), end, ordinal);
    if (stop != end || error != std::errc{}) ordinal = -1;
  }
  if (ordinal < 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--device: {} is not auto, host or cuda:N", quote(text)));
  }
  if (ordinal >= count) {
    throw Error(ErrorCode::resource,
                fmt::format("--device {}: no such GPU: {}", text,
                            count == 0 ? why
                                       : fmt::format("this process can use {} (cuda:0 to cuda:{}); "
                                                     "CUDA_VISIBLE_DEVICES may hide others",
                                                     count, count - 1)));
  }
  return {Device::cuda(ordinal), {}};
}

}  // namespace kvferry::cli
