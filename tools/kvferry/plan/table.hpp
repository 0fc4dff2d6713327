#pragma once

#include <string>
#include <vector>

namespace kvferry::cli::planning {

// A text table: the first column to the left, numbers to the right, two spaces before each line
// and between columns.
class Table {
 public:
  explicit Table(std::vector<std::string> titles);
  // Requires: one cell for each title.
  void add(std::vector<std::string> cells);
  // A row that has words instead of numbers; they may take several lines.
  void add_text(std::string first, std::string text);
  // Of its longest line, rows of words apart.
  std::size_t width() const;
  // Each line ends with a line break.
  std::string to_string() const;

 private:
  std::vector<std::size_t> column_widths() const;

  std::vector<std::vector<std::string>> rows_;  // a row of two cells only is a text row
};

}  // namespace kvferry::cli::planning
