#include "plan/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace kvferry::cli::planning {

Table::Table(std::vector<std::string> titles) { rows_.push_back(std::move(titles)); }

void Table::add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

void Table::add_text(std::string first, std::string text) {
  rows_.push_back({std::move(first), std::move(text)});
}

std::string Table::to_string() const {
  std::vector<std::size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    const std::size_t cells = row.size() == widths.size() ? row.size() : 1;
    for (std::size_t c = 0; c < cells; ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string out;
  for (const auto& row : rows_) {
    out += fmt::format("  {:<{}}", row.front(), widths.front());
    if (row.size() != widths.size()) {
      out += fmt::format("  {}\n", row.back());
      continue;
    }
    for (std::size_t c = 1; c < row.size(); ++c) out += fmt::format("  {:>{}}", row[c], widths[c]);
    out += '\n';
  }
  return out;
}

}  // namespace kvferry::cli::planning
