#include "bench/report_html.hpp"

#include <array>
#include <utility>

#include "bench/page_parts.hpp"
#include "bench/result_json.hpp"
#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

// JSON for a <script> element: nothing in it can end the element, start a comment in it, or end a
// line of a script. All of these characters stand in JSON's strings only, where an escape means the
// same.
std::string script_safe(std::string_view json) {
  std::string safe;
  safe.reserve(json.size());
  for (std::size_t i = 0; i < json.size(); ++i) {
    const std::string_view next = json.substr(i, 3);
    if (json[i] == '<') {
      safe += "\\u003c";
    } else if (json[i] == '>') {
      safe += "\\u003e";
    } else if (json[i] == '&') {
      safe += "\\u0026";
    } else if (next == "\xe2\x80\xa8" || next == "\xe2\x80\xa9") {  // line, paragraph separator
      safe += next[2] == '\xa8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      safe += json[i];
    }
  }
  return safe;
}

// Each part once, and nothing within a part: data may hold the name of another.
std::string fill(std::string_view page,
                 const std::array<std::pair<std::string_view, std::string_view>, 4>& parts) {
  std::string filled;
  for (const auto& [name, text] : parts) {
    const std::size_t at = page.find(name);
    filled += page.substr(0, at);
    filled += text;
    page = page.substr(at + name.size());
  }
  return filled.append(page);
}

}  // namespace

std::string_view html_refusal() noexcept {
  if (!chart_js().empty()) return {};
  return "this program was built without Chart.js, which draws the plots; build it where Debian's "
         "libjs-chart.js is installed";
}

std::string to_html(const Result& result) {
  if (const std::string_view refusal = html_refusal(); !refusal.empty()) {
    throw Error(ErrorCode::refused, "--html: " + std::string(refusal));
  }
  const std::string data = script_safe(to_json(result));
  return fill(page_html(), {{{"@CSS@", page_css()},
                             {"@DATA@", data},
                             {"@CHART_JS@", chart_js()},
                             {"@PAGE_JS@", page_js()}}});
}

}  // namespace kvferry::cli::bench
