#include "path_lines.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "client.hpp"

namespace kvferry::cli {

void print_chosen_path(const std::vector<PairExplanation>& pairs, const std::string& asked,
                       Output& out) {
  const auto pair = std::find_if(pairs.begin(), pairs.end(),
                                 [](const auto& p) { return p.local_pool == kPoolName; });
  if (pair == pairs.end()) return;
  const std::string& chosen = asked == "auto" ? pair->chosen : asked;
  for (const PathVerdict& verdict : pair->verdicts) {
    if (verdict.path == chosen) {
      const char* const why = asked == "auto" ? "" : ", as --path says";
      out.field("path", printable(fmt::format("{}{}: {}", chosen, why, verdict.reason)));
      return;  // best first: what follows is slower
    }
    // A faster one that would do was not asked for, and needs no reason.
    if (asked != "auto" && verdict.usable) continue;
    out.field("not", printable(fmt::format("{}: {}", verdict.path, verdict.reason)));
  }
}

void print_all_paths(const std::vector<PairExplanation>& pairs, Output& out) {
  for (const PairExplanation& pair : pairs) {
    out.line("  local pool {} with remote pool {}:", pair.local_pool, printable(pair.remote_pool));
    if (pair.chosen.empty()) out.line("    no path is taken by itself");
    for (const PathVerdict& v : pair.verdicts) {
      const char* const word = v.path == pair.chosen ? "chosen"
                               : !v.usable           ? "no"
                               : v.slow              ? "slow"
                                                     : "possible";
      out.line("    {:<10} {:<9} {}", v.path, word, printable(v.reason));
    }
  }
}

}  // namespace kvferry::cli
