#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace kvferry::cli {

struct UsageError {
  std::string program;  // "kvferry pull", for "See kvferry pull --help"
  std::string message;
};

// What is wrong with these arguments, in our words; the first thing only.
// Requires: parsing `arguments` with `app` has just thrown `error`.
UsageError explain_usage(const CLI::App& app, const CLI::ParseError& error,
                         const std::vector<std::string>& arguments);

// "help" and "help COMMAND" as the --help they stand for; other arguments as they are.
std::vector<std::string> expand_help(const CLI::App& app, std::vector<std::string> arguments);

// Insertions, deletions, replacements and swaps of neighbours between two words.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace kvferry::cli
