#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ids.hpp"
#include "kvferry/error.hpp"
#include "units.hpp"

// The parsers of --blocks, --into, --layer-range, --deadline and --available-memory: any text gives
// a value within its bounds or Error{invalid_argument}, and nothing else.
namespace {

template <typename F>
void parse(F&& parser) {
  try {
    parser();
  } catch (const kvferry::Error& error) {
    if (error.code() != kvferry::ErrorCode::invalid_argument) __builtin_trap();
  }
}

void require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kvferry::cli;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  parse([&] { require(!parse_id_list(text).empty()); });
  parse([&] {
    const IdChoice choice = parse_blocks(text);
    require(choice.kind != IdChoice::Kind::same && choice.ids.size() <= kMaxListedIds);
  });
  parse([&] { require(parse_into(text).kind != IdChoice::Kind::first); });
  parse([&] {
    const kvferry::LayerRange range = parse_layer_range(text);
    require(range.begin < range.end);
  });
  parse([&] { require(parse_duration(text).count() > 0); });
  parse([&] { require(parse_gib(text) > 0); });
  return 0;
}
