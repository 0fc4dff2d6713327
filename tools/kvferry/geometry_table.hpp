#pragma once

#include <string>

namespace kvferry::cli {

// A refusal's message, with the option's name beside each field of its table that is not called
// like its option: "kv_heads (--heads)". A message without such a table stays as it is.
std::string with_option_names(const std::string& message);
// Whether the message ends in such a table.
bool has_geometry_table(const std::string& message);

}  // namespace kvferry::cli
