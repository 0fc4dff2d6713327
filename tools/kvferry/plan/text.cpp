#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "help.hpp"
#include "plan/plan_report.hpp"
#include "plan/table.hpp"
#include "quote.hpp"
#include "units.hpp"

namespace kvferry::cli::planning {
namespace {

constexpr std::size_t kWidth = 98;

std::string head(std::string_view text) { return fmt::format("\n{}\n", text); }

std::string tokens_text(std::uint64_t tokens) {
  return fmt::format("{} {}", format_count(tokens), tokens == 1 ? "token" : "tokens");
}

std::string seconds_or_dash(const std::optional<double>& seconds) {
  return seconds ? format_seconds(*seconds) : "-";
}

// Two sizes that follow from one another: of one layer, of all.
std::string per_layer(std::uint64_t bytes, std::uint32_t layers) {
  return fmt::format("{} in each layer, {} in all", format_bytes(bytes),
                     format_bytes(bytes * layers));
}

std::string token_bytes(std::uint64_t bytes, std::uint32_t layers) {
  return fmt::format("{} bytes in each layer, {} in all ({})", format_count(bytes),
                     format_count(bytes * layers), format_bytes(bytes * layers));
}

// Marked where nobody measured it.
std::string start_text(const Link& link) {
  return fmt::format("{}{:.3g} us", link.start_basis == Basis::assumed ? "~" : "", link.start_us);
}

std::string geometry_text(const Report& report, const PlanOptions& options) {
  const CacheShape& shape = report.geometry.shape;
  const std::uint64_t block = shape.block_bytes();
  const auto field = [](std::string_view label, const std::string& text) {
    return fmt::format("  {:<10}{}\n", label, text);
  };
  std::string out = fmt::format("kvferry plan: {}\n", options.model.empty()
                                                          ? "the default geometry and its overrides"
                                                          : quote_path(options.model));
  out += field("geometry", shape.to_string());
  out += field("block", per_layer(block, shape.layers));
  // kv, heads and dims have no remainder: a block is its tokens.
  out += field("token", token_bytes(block / shape.block_tokens, shape.layers));
  out += field("memory", fmt::format("{} holds {} blocks in each layer: {}",
                                     format_bytes(report.inputs.memory_bytes),
                                     format_count(report.cache.blocks),
                                     tokens_text(report.cache.blocks * shape.block_tokens)));
  for (const std::string& note : report.notes) out += field("note", wrap(note, kWidth - 12, 12));
  return out;
}

std::string requests_text(const Report& report) {
  Table table({"request", "blocks", "pieces", "bytes", "at once"});
  for (const Request& r : report.cache.requests) {
    table.add({tokens_text(r.tokens), format_count(r.work.blocks), format_count(r.work.pieces),
               format_bytes(r.work.bytes), format_count(r.held)});
  }
  return head(fmt::format("Requests: blocks x layers = pieces; how many {} holds at once",
                          format_bytes(report.inputs.memory_bytes))) +
         table.to_string();
}

std::string rate_text(const Link& link) {
  if (link.rate_basis != Basis::data_sheet) return std::string(to_string(link.rate_basis));
  return fmt::format("{:.4g} x {:.1f} %", link.sheet_gb_per_s, link.efficiency * 100);
}

// A column of times for each of some requests.
struct Columns {
  std::size_t first = 0, last = 0;
  bool copies = false;  // what one copy for each piece would take
};

std::vector<std::string> link_cells(const Link& link, bool copies) {
  if (copies) {
    return {link.name, fmt::format("{:.3g} us", link.post_us), format_rate(link.gb_per_s)};
  }
  return {link.name, start_text(link), format_rate(link.gb_per_s), rate_text(link)};
}

Table times_table(const Report& report, const Columns& columns) {
  const auto& requests = report.cache.requests;
  std::vector<std::string> titles{"link", "start", "rate", "GB/s from"};
  if (columns.copies) titles = {"link", "post", "rate"};
  for (std::size_t r = columns.first; r < columns.last; ++r) {
    titles.push_back(tokens_text(requests[r].tokens));
  }
  Table table(std::move(titles));
  for (std::size_t l = 0; l < report.inputs.links.size(); ++l) {
    const Link& link = report.inputs.links[l];
    if (columns.copies && link.post_us <= 0) continue;
    std::vector<std::string> row = link_cells(link, columns.copies);
    for (std::size_t r = columns.first; r < columns.last; ++r) {
      const Prediction& on = requests[r].on[l];
      const double copies = on.copies_seconds.value_or(0);
      row.push_back(columns.copies
                        ? fmt::format("{} ({:.1f}x)", format_seconds(copies), copies / on.seconds)
                        : format_seconds(on.seconds));
    }
    table.add(std::move(row));
  }
  return table;
}

// As many tables as it takes for none to be too wide.
std::string times_text(const Report& report, bool copies) {
  std::string out;
  const std::size_t count = report.cache.requests.size();
  for (Columns columns{0, count, copies}; columns.first < count;) {
    const Table table = times_table(report, columns);
    if (table.width() > kWidth && columns.last - columns.first > 1) {
      --columns.last;
      continue;
    }
    out += table.to_string();
    columns.first = std::exchange(columns.last, count);
  }
  return out;
}

std::string transfers_text(const Report& report) {
  std::string out =
      head(
          "Predicted time of one fused copy = start + bytes / rate   (~ assumed; kvferry bench "
          "measures)") +
      times_text(report, false);
  const bool copies =
      std::ranges::any_of(report.inputs.links, [](const Link& l) { return l.post_us > 0; });
  if (!copies) return out;
  return out +
         head("One copy per block per layer instead = start + max(bytes / rate, pieces x post)") +
         times_text(report, true);
}

// Of the first request on the first link; --json has them all.
std::string block_sizes_text(const Report& report) {
  Table table({"block size", "block", "blocks", "pieces", "bytes", "at once", "fused copy",
               "copy per piece"});
  for (const Variant& v : report.block_sizes) {
    const bool given = v.shape.block_tokens == report.geometry.shape.block_tokens;
    const std::string name = fmt::format("{}{}", given ? "* " : "", v.shape.block_tokens);
    if (!v.refused.empty()) {
      table.add_text(name, v.refused);
      continue;
    }
    const Request& r = v.requests.front();
    table.add({name, format_bytes(v.shape.block_bytes()), format_count(r.work.blocks),
               format_count(r.work.pieces), format_bytes(r.work.bytes), format_count(r.held),
               format_seconds(r.on.front().seconds), seconds_or_dash(r.on.front().copies_seconds)});
  }
  return head(fmt::format("Block size: {} over {} (* as given)",
                          tokens_text(report.inputs.tokens.front()),
                          report.inputs.links.front().name)) +
         table.to_string();
}

std::string heads_text(const Variant& v) {
  if (v.copies == 1) return fmt::format("{}", v.shape.kv_heads);
  return fmt::format("{} on {} ranks", v.shape.kv == 1 ? "latent" : "1", v.copies);
}

std::string ranks_text(const Report& report) {
  Table table({"TP", "heads", "block", "pieces", "bytes", "at once", "own links", "one link",
               "copy per piece"});
  for (const Variant& v : report.ranks) {
    const std::string name = fmt::format("{}", v.ranks);
    if (!v.refused.empty()) {
      table.add_text(name, v.refused);
      continue;
    }
    const Request& r = v.requests.front();
    const Prediction& on = r.on.front();
    table.add({name, heads_text(v), format_bytes(v.shape.block_bytes()),
               format_count(r.work.pieces), format_bytes(r.work.bytes), format_count(r.held),
               format_seconds(on.seconds), format_seconds(on.shared_seconds),
               seconds_or_dash(on.copies_seconds)});
  }
  return head(fmt::format("Tensor parallelism, each rank: {} over {}, a link for each rank or one",
                          tokens_text(report.inputs.tokens.front()),
                          report.inputs.links.front().name)) +
         table.to_string();
}

std::string sources_text(const Report& report) {
  std::string out = head("Where the constants come from");
  const auto entry = [&out](std::string_view name, const std::string& text) {
    out += fmt::format("  {:<10}{}\n", name, wrap(text, kWidth - 12, 12));
  };
  // Links of one kind share a source; it is said once.
  const auto& links = report.inputs.links;
  for (std::size_t l = 0; l < links.size(); ++l) {
    const auto same = [&](const Link& other) { return other.source == links[l].source; };
    if (std::any_of(links.begin(), links.begin() + static_cast<std::ptrdiff_t>(l), same)) {
      entry(links[l].name, "as above");
      continue;
    }
    entry(links[l].name, links[l].source);
  }
  if (std::ranges::any_of(links, [](const Link& l) { return l.post_us > 0; })) {
    entry("post", kPostSource);
  }
  std::string unknown;
  for (const Link& l : links) {
    if (l.post_us <= 0) unknown += (unknown.empty() ? "" : ", ") + l.name;
  }
  if (!unknown.empty()) {
    entry("", fmt::format("Not predicted, because nobody measured it here: {}.", unknown));
  }
  return out;
}

}  // namespace

std::string to_text(const Report& report, const PlanOptions& options) {
  std::string text = geometry_text(report, options) + requests_text(report) +
                     transfers_text(report) + block_sizes_text(report) + ranks_text(report) +
                     sources_text(report);
  text.pop_back();  // Output ends the last line
  return text;
}

}  // namespace kvferry::cli::planning
