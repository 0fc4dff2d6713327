#pragma once

#include <string>

namespace kvferry::cli {

// A refusal's message, with the option's name beside each field that is not called like its option,
// in its table or, where it has none, as its first word: "kv_heads (--heads)". Any other message
// stays as it is.
std::string with_option_names(const std::string& message);
// Whether the message ends in such a table.
bool has_geometry_table(const std::string& message);

}  // namespace kvferry::cli
