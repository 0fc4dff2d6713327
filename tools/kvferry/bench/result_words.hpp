#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "bench/result.hpp"

// How the table and the comparison put a figure into words.
namespace kvferry::cli::bench {

inline constexpr std::size_t kTableWidth = 120;

// Of the small works of a group, or of its others.
std::string_view title(Group group, bool small) noexcept;
// "pull scattered engine, 16 SMs": what is not clear from the section it stands in.
std::string what(const Work& work);
std::string pair_of(const Work& work);                       // "nvlink, cuda:1 -> cuda:0"
std::string size_of(const Work& work);                       // "64 KiB x 64 x 40"
std::string percent_of(const std::optional<stats::Ratio>&);  // "92.6 [91.9, 93.1]"

}  // namespace kvferry::cli::bench
