#include "plan/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "help.hpp"

namespace kvferry::cli::planning {
namespace {

constexpr std::size_t kTextColumns = 98;

}  // namespace

Table::Table(std::vector<std::string> titles) { rows_.push_back(std::move(titles)); }

void Table::add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

void Table::add_text(std::string first, std::string text) {
  rows_.push_back({std::move(first), std::move(text)});
}

std::vector<std::size_t> Table::column_widths() const {
  std::vector<std::size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    const std::size_t cells = row.size() == widths.size() ? row.size() : 1;
    for (std::size_t c = 0; c < cells; ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  return widths;
}

std::size_t Table::width() const {
  std::size_t sum = 0;
  for (const std::size_t width : column_widths()) sum += 2 + width;
  return sum;
}

std::string Table::to_string() const {
  const std::vector<std::size_t> widths = column_widths();
  std::string out;
  for (const auto& row : rows_) {
    out += fmt::format("  {:<{}}", row.front(), widths.front());
    if (row.size() != widths.size()) {
      const std::size_t indent = widths.front() + 4;
      out += "  " + wrap(row.back(), kTextColumns - indent, indent) + '\n';
      continue;
    }
    for (std::size_t c = 1; c < row.size(); ++c) out += fmt::format("  {:>{}}", row[c], widths[c]);
    out += '\n';
  }
  return out;
}

}  // namespace kvferry::cli::planning
