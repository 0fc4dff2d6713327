#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace kvferry::cli::bench {

// Text for one line of a terminal: control characters, which could steer it, become spaces. UTF-8
// goes through.
std::string printable(std::string_view text);

// Rows in aligned columns, with lines of text between them. Columns that are empty in every row are
// left out. One thread.
class TextTable {
 public:
  enum class Column { left, right, shrinks };  // shrinks: left, and cut when a line gets too wide

  void column(std::string head, Column kind);
  // Requires: as many cells as columns.
  void row(std::vector<std::string> cells);
  void line(std::string text);  // as it is, without indentation
  // Each line ends in \n. No row is wider than `width` unless its other columns alone are.
  std::string text(std::size_t indent, std::size_t width) const;

 private:
  struct Row {
    std::vector<std::string> cells;
    std::string text;  // where there are no cells
  };
  std::vector<std::size_t> widths() const;  // 0: left out
  std::string format(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths,
                     std::size_t indent) const;

  std::vector<std::string> heads_;
  std::vector<Column> kinds_;
  std::vector<Row> rows_;
};

}  // namespace kvferry::cli::bench
