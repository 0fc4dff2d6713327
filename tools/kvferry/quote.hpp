#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace kvferry::cli {

// The user's own text, for an error message: in double quotes, no more than its first `shown`
// bytes, and with everything that is not printable ASCII as \xNN so that it cannot steer a
// terminal.
std::string quote(std::string_view text, std::size_t shown = 60);
// A path, which must be seen to its end to be of use.
inline std::string quote_path(std::string_view path) { return quote(path, 4096); }

}  // namespace kvferry::cli
