#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kvferry/error.hpp"
#include "kvferry/shape.hpp"

// Any text must give a valid shape or an Error, and nothing else.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  kvferry::CacheShape shape;
  try {
    shape = kvferry::shape_from_model_config(text);
  } catch (const kvferry::Error&) {
    return 0;
  }
  shape.validate();  // outside the try: a shape that came back must be a good one
  return 0;
}
