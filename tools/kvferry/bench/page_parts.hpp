#pragma once

#include <string_view>

// What the page of --html is made of, embedded into the program by page/embed.cmake. In `page_html`
// the others and the data stand as @CSS@, @DATA@, @CHART_JS@ and @PAGE_JS@.
namespace kvferry::cli::bench {

std::string_view page_html() noexcept;
std::string_view page_css() noexcept;
std::string_view page_js() noexcept;
// Chart.js 3, minified; empty where the program was built without it.
std::string_view chart_js() noexcept;

}  // namespace kvferry::cli::bench
