#include "bench/result_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "bench/result_words.hpp"
#include "bench/text_table.hpp"
#include "units.hpp"

namespace kvferry::cli::bench {
namespace {

constexpr std::array kGroups{Group::throughput, Group::blocks,  Group::sms, Group::latency,
                             Group::posting,    Group::clients, Group::tcp, Group::ucx};

// Rates stand in a column whose head names the unit.
std::string rate_text(double gb_per_s) {
  if (gb_per_s <= 0) return {};
  return fmt::format("{:.{}f}", gb_per_s, gb_per_s < 9.995 ? 2 : gb_per_s < 99.95 ? 1 : 0);
}

// Footnotes, numbered in the order of their first use; the same words are one note.
class Notes {
 public:
  std::string mark(const std::string& words) {
    const auto found = std::find(notes_.begin(), notes_.end(), words);
    const auto index = static_cast<std::size_t>(found - notes_.begin());
    if (found == notes_.end()) notes_.push_back(words);
    return fmt::format("[{}]", index + 1);
  }
  std::string text() const {
    std::string lines;
    for (std::size_t i = 0; i < notes_.size(); ++i) {
      lines += fmt::format("  [{}] {}\n", i + 1, notes_[i]);
    }
    return lines;
  }

 private:
  std::vector<std::string> notes_;
};

std::string marks_of(const Figure& figure, Notes& notes) {
  std::string marks;
  if (!figure.verified) marks = notes.mark("the bytes of this one were not verified");
  if (!figure.note.empty()) marks += notes.mark(printable(figure.note));
  return marks;
}

// What a part of a section has in common.
std::string part_of(const Figure& figure) {
  std::string part = "  " + pair_of(figure.work);
  if (!figure.reference_name.empty()) part += "; reference: " + printable(figure.reference_name);
  return part;
}

class Section {
 public:
  Section(Group group, bool small) : group_(group), small_(small) {
    using Column = TextTable::Column;
    table_.column("what", Column::left);
    table_.column("method", Column::shrinks);
    table_.column("size", Column::left);
    if (small_) {
      for (const char* head : {"p50", "p99", "p99.9", "ref."}) {
        table_.column(head, Column::right);
      }
    } else {
      for (const char* head : {"median", "GB/s", "ref."}) table_.column(head, Column::right);
    }
    table_.column("% of ref. [95 %]", Column::left);
    if (!small_) table_.column("p99", Column::right);
    table_.column("", Column::left);
  }

  void add(const Figure& figure) {
    const stats::Summary& ours = figure.ours;
    std::vector<std::string> cells{what(figure.work), printable(figure.method),
                                   size_of(figure.work), format_seconds(ours.median)};
    if (small_) {
      cells.push_back(format_seconds(ours.p99));
      cells.push_back(format_seconds(ours.p999));
      cells.push_back(figure.reference ? format_seconds(figure.reference->median) : "");
    } else {
      cells.push_back(rate_text(figure.gb_per_s));
      cells.push_back(rate_text(reference_rate(figure)));
    }
    cells.push_back(percent_of(figure.of_reference));
    if (!small_) cells.push_back(format_seconds(ours.p99));
    cells.push_back(marks_of(figure, notes_));
    table_.row(std::move(cells));
  }
  void part(const std::string& line) { table_.line(line); }

  std::string text() const {
    return fmt::format("\n{}\n{}{}", title(group_, small_), table_.text(4, kTableWidth),
                       notes_.text());
  }

 private:
  static double reference_rate(const Figure& figure) {
    return figure.reference ? gb_per_s(figure.work.bytes(), figure.reference->median) : 0;
  }

  Group group_;
  bool small_;
  TextTable table_;
  Notes notes_;
};

// The group's small works, or its others.
std::string section_text(const Result& result, Group group, bool small) {
  // Parts in the order of their first figure, each with its figures in theirs.
  std::vector<std::pair<std::string, std::vector<const Figure*>>> parts;
  for (const Figure& figure : result.figures) {
    if (figure.work.group != group || figure.work.small() != small) continue;
    const std::string name = part_of(figure);
    const auto same = [&](const auto& part) { return part.first == name; };
    auto part = std::find_if(parts.begin(), parts.end(), same);
    if (part == parts.end()) part = parts.insert(parts.end(), {name, {}});
    part->second.push_back(&figure);
  }
  if (parts.empty()) return {};
  Section section(group, small);
  for (const auto& [name, figures] : parts) {
    section.part(name);
    for (const Figure* figure : figures) section.add(*figure);
  }
  return section.text();
}

std::string machine_text(const Machine& machine) {
  std::string text;
  for (const Machine::Gpu& gpu : machine.gpus) {
    text +=
        fmt::format("  {}: {}, {}, {}{}\n", gpu.device, printable(gpu.name), counted(gpu.sms, "SM"),
                    format_bytes(gpu.memory_bytes), gpu.mps ? ", MPS" : "");
  }
  if (!machine.driver.empty()) text += fmt::format("  driver {}", printable(machine.driver));
  if (!machine.cuda_runtime.empty()) text += ", CUDA " + printable(machine.cuda_runtime);
  if (!machine.driver.empty()) text += '\n';
  return text + fmt::format("  {}, {}, {}; {}\n", printable(machine.cpu),
                            counted(machine.cores, "core"), format_bytes(machine.memory_bytes),
                            printable(machine.kernel));
}

std::string head_text(const Result& result) {
  std::string text = fmt::format("kvferry {}", printable(result.version));
  if (!result.commit.empty()) text += fmt::format(" ({})", printable(result.commit));
  text += fmt::format(" on {}, {}, measured for {}\n", printable(result.machine.host),
                      printable(result.date), format_seconds(result.seconds));
  text += machine_text(result.machine);
  if (result.quick) text += "  --quick: few repetitions, so the intervals are wide\n";
  text += "  sizes are block x blocks x layers; [95 %] is the confidence interval of a median\n";
  if (result.interrupted) text += "  interrupted: these are the figures measured until then\n";
  return text;
}

}  // namespace

std::string result_table(const Result& result) {
  std::string text = head_text(result);
  for (const Group group : kGroups) {
    for (const bool small : {false, true}) text += section_text(result, group, small);
  }
  if (result.figures.empty()) text += "\nnothing was measured\n";
  if (!result.skipped.empty()) {
    text += "\nSkipped\n";
    for (const Skipped& skipped : result.skipped) {
      text += fmt::format("  {}: {}\n", printable(skipped.what), printable(skipped.why));
    }
  }
  text.pop_back();
  return text;
}

}  // namespace kvferry::cli::bench
