#pragma once

#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

#include "kvferry/export.hpp"

namespace kvferry {

// What went wrong, in the classes a caller acts on. The values are the exit codes of the command
// line.
enum class ErrorCode : int {
  failed = 1,            // a transfer or its verification failed
  invalid_argument = 2,  // the caller's arguments cannot be meant; nothing was done
  unreachable = 3,       // the peer cannot be reached, or it died
  refused = 4,    // the peer (or this side) will not: geometry, capability, permission, slow path
  deadline = 5,   // the deadline passed
  resource = 6,   // something local is missing: port in use, no such GPU, too little memory
  cancelled = 7,  // cancel() was called
};

KVFERRY_API std::string_view to_string(ErrorCode code) noexcept;

// The one exception type of the library. what() names the field, the values and what to do about
// it.
class KVFERRY_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message,
        std::source_location where = std::source_location::current());

  ErrorCode code() const noexcept { return code_; }
  // Where in kvferry's source it was raised: for bug reports, not for users.
  const std::source_location& where() const noexcept { return where_; }

 private:
  ErrorCode code_;
  std::source_location where_;
};

}  // namespace kvferry
