#pragma once

#include <string>
#include <string_view>

#include "bench/result.hpp"

namespace kvferry::cli::bench {

// Why this program can write no page; empty: it can. Ask before measuring.
std::string_view html_refusal() noexcept;

// What `bench --html` writes: one page with plots, tables and everything they need in it, which
// asks nothing of any network.
// Throws: Error{refused} where html_refusal() says why.
std::string to_html(const Result& result);

}  // namespace kvferry::cli::bench
