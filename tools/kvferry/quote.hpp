#pragma once

#include <string>
#include <string_view>

namespace kvferry::cli {

// The user's own text, for an error message: in double quotes, at most 60 bytes of it, and with
// everything that is not printable ASCII as \xNN so that it cannot steer a terminal.
std::string quote(std::string_view text);

}  // namespace kvferry::cli
