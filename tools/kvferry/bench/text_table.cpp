#include "bench/text_table.hpp"

#include <algorithm>
#include <utility>

namespace kvferry::cli::bench {
namespace {

constexpr std::size_t kGap = 2;
constexpr std::size_t kLeastCut = 12;  // cut to less, a text says nothing any more
constexpr std::string_view kCut = "..";

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// In code points: what a terminal shows in as many cells, but for wide scripts.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

std::string cut(const std::string& text, std::size_t width) {
  if (width_of(text) <= width) return text;
  std::size_t end = 0;
  for (std::size_t kept = 0; end < text.size(); ++end) {
    if (!continues(text[end]) && kept++ == width - kCut.size()) break;
  }
  return text.substr(0, end) + std::string(kCut);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string clean(text);
  for (std::size_t i = 0; i < clean.size(); ++i) {
    const auto byte = static_cast<unsigned char>(clean[i]);
    const bool control = byte < 0x20 || byte == 0x7f;
    // U+0080 to U+009F, which some terminals take for escape sequences too.
    const bool high_control =
        byte == 0xc2 && i + 1 < clean.size() && static_cast<unsigned char>(clean[i + 1]) < 0xa0;
    if (control) clean[i] = ' ';
    if (high_control) clean[i] = clean[i + 1] = ' ';
  }
  return clean;
}

void TextTable::column(std::string head, Column kind) {
  heads_.push_back(std::move(head));
  kinds_.push_back(kind);
}

void TextTable::row(std::vector<std::string> cells) { rows_.push_back({std::move(cells), {}}); }

void TextTable::line(std::string text) { rows_.push_back({{}, std::move(text)}); }

std::vector<std::size_t> TextTable::widths() const {
  std::vector<std::size_t> widths(heads_.size(), 0);
  for (const Row& row : rows_) {
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      widths[i] = std::max(widths[i], width_of(row.cells[i]));
    }
  }
  for (std::size_t i = 0; i < widths.size(); ++i) {
    if (widths[i] > 0) widths[i] = std::max(widths[i], width_of(heads_[i]));
  }
  return widths;
}

std::string TextTable::format(const std::vector<std::string>& cells,
                              const std::vector<std::size_t>& widths, std::size_t indent) const {
  std::string line(indent, ' ');
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (widths[i] == 0) continue;
    const std::string text = cut(cells[i], widths[i]);
    const std::string space(widths[i] - width_of(text), ' ');
    line += kinds_[i] == Column::right ? space + text : text + space;
    line.append(kGap, ' ');
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + '\n';
}

std::string TextTable::text(std::size_t indent, std::size_t width) const {
  std::vector<std::size_t> widths = this->widths();
  const auto total = [&] {
    std::size_t sum = indent;
    for (const std::size_t w : widths) sum += w == 0 ? 0 : w + kGap;
    return sum - std::min(sum, kGap);
  };
  while (total() > width) {
    std::size_t widest = widths.size();
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const bool can = kinds_[i] == Column::shrinks && widths[i] > kLeastCut;
      if (can && (widest == widths.size() || widths[i] > widths[widest])) widest = i;
    }
    if (widest == widths.size()) break;
    --widths[widest];
  }
  std::string text = format(heads_, widths, indent);
  for (const Row& row : rows_) {
    text += row.cells.empty() ? row.text + '\n' : format(row.cells, widths, indent);
  }
  return text;
}

}  // namespace kvferry::cli::bench
