#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// The links that kvferry plan predicts for, and where each of their constants comes from. Pure.
namespace kvferry::cli::planning {

// Where a constant comes from.
enum class Basis : std::uint8_t {
  measured,    // by this project, on the hardware that the source names
  data_sheet,  // the line rate of a data sheet or standard x an efficiency
  assumed,     // neither: an order of magnitude, so that small transfers do not look free
  option,      // the user's
};
std::string_view to_string(Basis basis) noexcept;  // "measured", "data sheet", ...

struct Link {
  std::string name;  // "nvlink4"
  std::string what;  // "NVLink 4: H100, H200"
  double start_us = 0;
  Basis start_basis = Basis::measured;
  double gb_per_s = 0;  // 10^9 bytes a second, one direction
  Basis rate_basis = Basis::measured;
  // Of a rate from a data sheet: gb_per_s is their product. 0 otherwise.
  double sheet_gb_per_s = 0, efficiency = 0;
  // CPU time to post one copy of one piece; 0: nobody measured it here, and nothing is predicted.
  double post_us = 0;
  bool between_machines = false;
  std::string source;  // of the start and the rate; one sentence or two
};

// Where the posting cost of the GPU links comes from.
extern const char* const kPostSource;

// Every link: the measured ones first, then the ones from data sheets.
std::span<const Link> all_links();
// What parse_links takes as one word: "nvlink", every link's name, "all".
std::vector<std::string> link_words();
// The ones that are shown without --link.
std::vector<Link> usual_links();
// "nvlink,pcie5": links by name, or "all". Throws: Error{invalid_argument} quoting what is no link
// and naming those there are, or a link that is named twice.
std::vector<Link> parse_links(std::string_view text);
// A link of the user's own. `rate` is in GB/s, more than 0 and at most 1,000,000; `start_us` from 0
// to 1,000,000,000 us; empty: 0. Throws: Error{invalid_argument} naming the option.
Link custom_link(std::string_view rate, std::string_view start_us);

}  // namespace kvferry::cli::planning
