#include "failure.hpp"

#include <fmt/format.h>

namespace kvferry::cli {

// Keys of a file format: they stay when to_string()'s words for people change.
std::string_view json_code(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::failed: return "failed";
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::unreachable: return "unreachable";
    case ErrorCode::refused: return "refused";
    case ErrorCode::deadline: return "deadline";
    case ErrorCode::resource: return "resource";
    case ErrorCode::cancelled: return "cancelled";
  }
  return "failed";
}

std::string name_deadline(std::string message, std::string_view deadline) {
  constexpr std::string_view kPlain = "the deadline passed";
  if (deadline.empty()) return message;
  // As typed, where a number alone means seconds.
  const bool bare = deadline.find_first_not_of("0123456789.") == deadline.npos;
  const std::string named = fmt::format("the deadline of {}{} passed", deadline, bare ? "s" : "");
  const std::size_t at = message.find(kPlain);
  if (at == std::string::npos) return named + ": " + message;
  return message.replace(at, kPlain.size(), named);
}

Failure failure_of(const Error& error, std::string_view deadline) {
  const bool late = error.code() == ErrorCode::deadline;
  const int exit_code =
      error.code() == ErrorCode::cancelled ? kInterrupted : static_cast<int>(error.code());
  return {std::string(json_code(error.code())), exit_code,
          late ? name_deadline(error.what(), deadline) : error.what()};
}

}  // namespace kvferry::cli
