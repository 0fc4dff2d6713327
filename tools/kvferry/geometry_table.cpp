#include "geometry_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

namespace kvferry::cli {
namespace {

using Row = std::array<std::string, 3>;  // field, ours, theirs

constexpr std::string_view kHead = "\nfield ";

std::string with_option(const std::string& field) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kOptions{
      {{"kv_heads", "--heads"}, {"head_dim", "--dims"}, {"block_tokens", "--block-size"}}};
  // Where a node has several pools, the pool's name comes first: "kv.kv_heads".
  const std::string_view last = std::string_view(field).substr(
      field.rfind('.') == std::string::npos ? 0 : field.rfind('.') + 1);
  for (const auto& [name, option] : kOptions) {
    if (name == last) return fmt::format("{} ({})", field, option);
  }
  return field;
}

}  // namespace

bool has_geometry_table(const std::string& message) {
  return message.find(kHead) != std::string::npos;
}

std::string with_option_names(const std::string& message) {
  const std::size_t start = message.find(kHead);
  if (start == std::string::npos) {
    const std::size_t space = std::min(message.find(' '), message.size());
    return with_option(message.substr(0, space)) + message.substr(space);
  }
  std::vector<Row> rows;
  std::size_t first_width = 0, second_width = 0;
  std::istringstream lines(message.substr(start + 1));
  for (std::string text; std::getline(lines, text);) {
    std::istringstream words(text);
    Row row;
    std::string more;
    // A peer's own words are no table of ours: they are shown as they came.
    if (!(words >> row[0] >> row[1] >> row[2]) || words >> more) return message;
    row[0] = with_option(row[0]);
    first_width = std::max(first_width, row[0].size());
    second_width = std::max(second_width, row[1].size());
    rows.push_back(std::move(row));
  }
  std::string out = message.substr(0, start);
  for (const Row& row : rows) {
    out += fmt::format("\n{:<{}}  {:<{}}  {}", row[0], first_width, row[1], second_width, row[2]);
  }
  return out;
}

}  // namespace kvferry::cli
