#include "bench/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "bench/result_json.hpp"
#include "bench/result_words.hpp"
#include "bench/text_table.hpp"
#include "kvferry/error.hpp"
#include "quote.hpp"
#include "units.hpp"

namespace kvferry::cli::bench {
namespace {

// Less than this is not called a change even where the intervals are apart: they tell how well one
// run knows its median, not how it moves from one run to the next (clocks, placement of memory).
constexpr double kLeastChange = 0.02;

Pair judge(const Figure& before, const Figure& after) {
  Pair pair{.before = &before, .after = &after};
  const double old_time = before.ours.median, new_time = after.ours.median;
  pair.change = old_time > 0 ? new_time / old_time - 1 : 0;
  if (!stats::can_tell(before.ours, after.ours)) {
    pair.verdict = Change::unknown;
  } else if (stats::differ(before.ours, after.ours, kLeastChange)) {
    pair.verdict = new_time > old_time ? Change::slower : Change::faster;
  }
  return pair;
}

std::string gpus_of(const Machine& machine) {
  std::string text;
  for (const Machine::Gpu& gpu : machine.gpus) {
    text += (text.empty() ? "" : ", ") + gpu.name;
    if (gpu.mps) text += " under MPS";
  }
  return text.empty() ? "none" : text;
}

std::vector<std::string> warnings_of(const Result& before, const Result& after) {
  std::vector<std::string> warnings;
  const auto compare = [&](std::string_view what, const std::string& old_text,
                           const std::string& new_text) {
    if (old_text == new_text) return;
    warnings.push_back(fmt::format("{}: {} before, {} now", what,
                                   old_text.empty() ? "unknown" : printable(old_text),
                                   new_text.empty() ? "unknown" : printable(new_text)));
  };
  const Machine &a = before.machine, &b = after.machine;
  compare("the host differs", a.host, b.host);
  compare("the GPUs differ", gpus_of(a), gpus_of(b));
  compare("the CPU differs", a.cpu, b.cpu);
  compare("the number of cores differs", fmt::format("{}", a.cores), fmt::format("{}", b.cores));
  compare("the driver differs", a.driver, b.driver);
  compare("the CUDA runtime differs", a.cuda_runtime, b.cuda_runtime);
  compare("the kernel differs", a.kernel, b.kernel);
  compare("the version differs", before.version, after.version);
  compare("the build differs", before.build, after.build);
  compare("the commit differs", before.commit, after.commit);
  for (const auto& [result, which] : {std::pair(&before, "before"), std::pair(&after, "now")}) {
    if (result->quick) warnings.push_back(fmt::format("--quick was given {}", which));
    if (result->interrupted) warnings.push_back(fmt::format("the run was interrupted {}", which));
  }
  return warnings;
}

std::string_view word(Change change) {
  switch (change) {
    case Change::same: return "same";
    case Change::faster: return "faster";
    case Change::slower: return "SLOWER";
    case Change::unknown: return "too few samples";
  }
  return "";
}

std::string shares_of(const Pair& pair) {
  const auto share = [](const Figure& figure) {
    return figure.of_reference ? fmt::format("{:.1f} %", 100 * figure.of_reference->median)
                               : std::string("-");
  };
  if (!pair.before->of_reference && !pair.after->of_reference) return {};
  return fmt::format("{} -> {}", share(*pair.before), share(*pair.after));
}

std::vector<Pair> by_section(std::vector<Pair> pairs) {
  const auto section = [](const Pair& pair) {
    return std::pair(pair.after->work.group, pair_of(pair.after->work));
  };
  std::stable_sort(pairs.begin(), pairs.end(),
                   [&](const Pair& a, const Pair& b) { return section(a) < section(b); });
  return pairs;
}

std::string list_of(std::string_view head, const std::vector<const Figure*>& figures) {
  if (figures.empty()) return {};
  std::string text = fmt::format("\n{}\n", head);
  for (const Figure* figure : figures) {
    text += fmt::format("  {}\n", printable(figure->work.key()));
  }
  return text;
}

std::string summary_of(const Comparison& comparison) {
  const auto count = [&](Change verdict) {
    return std::count_if(comparison.pairs.begin(), comparison.pairs.end(),
                         [&](const Pair& pair) { return pair.verdict == verdict; });
  };
  std::string text = fmt::format("{} compared: {} slower, {} faster, {} the same",
                                 counted(comparison.pairs.size(), "figure"), count(Change::slower),
                                 count(Change::faster), count(Change::same));
  if (const auto few = count(Change::unknown); few != 0) {
    text += fmt::format(", {} with too few samples to tell", few);
  }
  return text + fmt::format(" within noise (95 % intervals that overlap, or less than {:.0f} %)",
                            100 * kLeastChange);
}

// No more than a little beyond what from_json() takes, so that it can say so.
std::string read_file(const std::string& path) {
  const auto refuse = [&] {
    return Error(ErrorCode::invalid_argument, fmt::format("--compare: cannot read {}: {}",
                                                          quote_path(path), std::strerror(errno)));
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (!file) throw refuse();
  std::string text;
  std::vector<char> piece(1 << 16);
  while (text.size() <= kMaxResultBytes && std::feof(file.get()) == 0) {
    const std::size_t count = std::fread(piece.data(), 1, piece.size(), file.get());
    if (std::ferror(file.get()) != 0) throw refuse();
    text.append(piece.data(), count);
  }
  return text;
}

Result read_result(const std::string& path) { return from_json(read_file(path), quote_path(path)); }

}  // namespace

bool Comparison::any_slower() const noexcept {
  return std::any_of(pairs.begin(), pairs.end(),
                     [](const Pair& pair) { return pair.verdict == Change::slower; });
}

Comparison compare(const Result& before, const Result& after) {
  Comparison comparison;
  comparison.warnings = warnings_of(before, after);
  // A file may name one work twice: the first is then paired with the first.
  std::multimap<std::string, const Figure*> unpaired;
  for (const Figure& figure : before.figures) unpaired.emplace(figure.work.key(), &figure);
  std::set<const Figure*> paired;
  for (const Figure& figure : after.figures) {
    const std::string key = figure.work.key();
    const auto found = unpaired.lower_bound(key);
    if (found == unpaired.end() || found->first != key) {
      comparison.only_after.push_back(&figure);
      continue;
    }
    comparison.pairs.push_back(judge(*found->second, figure));
    paired.insert(found->second);
    unpaired.erase(found);
  }
  for (const Figure& figure : before.figures) {
    if (!paired.contains(&figure)) comparison.only_before.push_back(&figure);
  }
  return comparison;
}

std::string comparison_table(const Comparison& comparison) {
  std::string text;
  for (const std::string& warning : comparison.warnings) text += fmt::format("note: {}\n", warning);
  if (!comparison.pairs.empty()) {
    TextTable table;
    using Column = TextTable::Column;
    for (const char* head : {"what", "size"}) table.column(head, Column::shrinks);
    for (const char* head : {"before", "now", "time"}) table.column(head, Column::right);
    for (const char* head : {"verdict", "of the reference"}) {
      table.column(head, Column::left);
    }
    std::string part;
    for (const Pair& pair : by_section(comparison.pairs)) {
      const Work& work = pair.after->work;
      const std::string here = fmt::format("{}: {}", to_string(work.group), pair_of(work));
      if (here != part) table.line(part = here);
      table.row({what(work), size_of(work), format_seconds(pair.before->ours.median),
                 format_seconds(pair.after->ours.median),
                 fmt::format("{:+.1f} %", 100 * pair.change), std::string(word(pair.verdict)),
                 shares_of(pair)});
    }
    text += table.text(2, kTableWidth);
  }
  text += list_of("Only before", comparison.only_before);
  text += list_of("Only now", comparison.only_after);
  return text + (text.empty() ? "" : "\n") + summary_of(comparison);
}

int run_compare(const std::string& a, const std::string& b, Output& out) {
  const Result before = read_result(a);
  const Result after = read_result(b);
  const Comparison comparison = compare(before, after);
  out.line("before: {}, {}", quote_path(a), printable(before.date));
  out.line("now:    {}, {}", quote_path(b), printable(after.date));
  out.line("{}", comparison_table(comparison));
  return comparison.any_slower() ? static_cast<int>(ErrorCode::failed) : 0;
}

}  // namespace kvferry::cli::bench
