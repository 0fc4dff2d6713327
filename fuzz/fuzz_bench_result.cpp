#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "bench/compare.hpp"
#include "bench/report_html.hpp"
#include "bench/result_csv.hpp"
#include "bench/result_json.hpp"
#include "bench/result_table.hpp"
#include "kvferry/error.hpp"

namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

// Any text must give a result or Error{invalid_argument}, and nothing else; and whatever is read
// can be written in every form, without a control character that would steer a terminal.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kvferry::cli::bench;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Result result;
  try {
    result = from_json(text, "fuzz.json");
  } catch (const kvferry::Error& error) {
    require(error.code() == kvferry::ErrorCode::invalid_argument);
    require(std::string_view(error.what()).find('\x1b') == std::string_view::npos);
    return 0;
  }
  const std::string json = to_json(result);
  require(to_json(from_json(json, "own.json")) == json);
  require(!to_csv(result).empty());
  require(result_table(result).find('\x1b') == std::string::npos);
  const Comparison comparison = compare(result, result);
  require(!comparison.any_slower());
  require(comparison.pairs.size() == result.figures.size() && comparison.only_before.empty());
  require(comparison_table(comparison).find('\x1b') == std::string::npos);
  if (html_refusal().empty()) require(to_html(result).find("<!DOCTYPE html>") == 0);
  return 0;
}
