#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string_view>

#include "kvferry/error.hpp"

namespace kvferry {

struct JsonLimits {
  std::size_t bytes = 0;   // of the text
  std::size_t values = 0;  // of all kinds, lists and objects included
  int depth = 0;           // lists and objects within each other
};

// A document that anybody may have written. It is read once beforehand without keeping anything, so
// that what is then built is known to be small and well formed.
// Throws: Error{code} starting with `document`: which bound it breaks, or at which byte and line it
// stops being JSON.
nlohmann::json parse_bounded(std::string_view text, std::string_view document,
                             const JsonLimits& limits,
                             ErrorCode code = ErrorCode::invalid_argument);

}  // namespace kvferry
