#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace kvferry::cli {

// Help in two columns, wrapped to 90, with each option's default after its text.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
  std::string make_usage(const CLI::App* app, std::string name) const override;
  std::string make_option(const CLI::Option* option, bool is_positional) const override;
  std::string make_subcommand(const CLI::App* sub) const override;
};

// Text broken at spaces into lines of at most `width`, each after the first preceded by `indent`
// spaces. Line breaks in the text stay.
std::string wrap(const std::string& text, std::size_t width, std::size_t indent);

}  // namespace kvferry::cli
