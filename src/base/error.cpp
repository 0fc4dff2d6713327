#include "kvferry/error.hpp"

namespace kvferry {

Error::Error(ErrorCode code, const std::string& message, std::source_location where)
    : std::runtime_error(message), code_(code), where_(where) {}

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::failed: return "failed";
    case ErrorCode::invalid_argument: return "invalid argument";
    case ErrorCode::unreachable: return "unreachable";
    case ErrorCode::refused: return "refused";
    case ErrorCode::deadline: return "deadline passed";
    case ErrorCode::resource: return "local resource";
    case ErrorCode::cancelled: return "cancelled";
  }
  return "unknown";
}

}  // namespace kvferry
