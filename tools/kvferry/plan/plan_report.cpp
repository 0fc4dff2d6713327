#include "plan/plan_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "kvferry/error.hpp"
#include "option_error.hpp"
#include "plan/lists.hpp"
#include "units.hpp"

namespace kvferry::cli::planning {
namespace {

// Below this, a block is smaller than any whose rate was measured.
constexpr std::uint64_t kMeasuredBlockBytes = 8192;

std::vector<Link> links_of(const PlanOptions& options) {
  if (!options.start_us.empty() && options.gb_per_s.empty()) {
    throw Error(ErrorCode::invalid_argument,
                "--start-us: it belongs to a link of your own; give --gb-per-s too");
  }
  std::vector<Link> links;
  if (!options.gb_per_s.empty()) {
    links.push_back(custom_link(options.gb_per_s, options.start_us));
    if (options.links.empty()) return links;
  }
  const auto named = options.links.empty() ? usual_links() : parse_links(options.links);
  links.insert(links.end(), named.begin(), named.end());
  return links;
}

// Some layers of the model look back over a window only. Requires: resolve_geometry() has taken the
// file for a model's config.
bool has_sliding_window(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto config = nlohmann::json::parse(text, nullptr, false);
  if (!config.is_object()) return false;
  const bool nested = config.contains("text_config") && config["text_config"].is_object();
  const nlohmann::json& model = nested ? config["text_config"] : config;
  const auto kinds = model.find("layer_types");
  if (kinds != model.end() && kinds->is_array()) {
    return std::ranges::find(*kinds, "sliding_attention") != kinds->end();
  }
  const auto used = model.find("use_sliding_window"), window = model.find("sliding_window");
  if (used != model.end() && *used == false) return false;
  return window != model.end() && window->is_number() && *window > 0;
}

bool any_small_block(const Report& report) {
  const auto small = [](const Variant& variant) {
    return variant.refused.empty() && variant.shape.block_bytes() < kMeasuredBlockBytes;
  };
  return std::ranges::any_of(report.block_sizes, small) || std::ranges::any_of(report.ranks, small);
}

std::vector<std::string> notes_of(const Report& report, const PlanOptions& options) {
  std::vector<std::string> notes;
  if (!report.geometry.dtype_note.empty()) notes.push_back(report.geometry.dtype_note);
  if (!options.model.empty() && has_sliding_window(options.model)) {
    notes.emplace_back(
        "The model has layers with a sliding window. They are counted for the whole request, as a "
        "plain paged cache keeps them; an engine that drops what left the window moves less.");
  }
  if (any_small_block(report)) {
    notes.push_back(fmt::format(
        "Rates were measured with blocks of {} KiB and more; rows below have smaller ones, "
        "which may be slower.",
        kMeasuredBlockBytes / 1024));
  }
  const auto& links = report.inputs.links;
  if (std::ranges::any_of(links, &Link::between_machines)) {
    notes.emplace_back(
        "Links between machines are predicted from their data sheets: InfiniBand needs path ucx, "
        "and over Ethernet path tcp also needs cores to fill the link.");
  }
  return notes;
}

}  // namespace

Report make_report(const PlanOptions& options) {
  Report report{.geometry = resolve_geometry(options),
                .inputs = {},
                .cache = {},
                .block_sizes = {},
                .ranks = {},
                .notes = {}};
  report.inputs = {.shape = report.geometry.shape,
                   .memory_bytes = naming_option(
                       "--available-memory", [&] { return parse_gib(options.available_memory); }),
                   .tokens = parse_tokens(options.tokens),
                   .links = links_of(options)};
  report.cache = plan_cache(report.inputs);
  report.block_sizes = plan_block_sizes(report.inputs);
  report.ranks = plan_ranks(report.inputs);
  report.notes = notes_of(report, options);
  return report;
}

}  // namespace kvferry::cli::planning
