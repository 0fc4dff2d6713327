#include "help.hpp"

#include <fmt/format.h>

#include <sstream>

#include "option_checks.hpp"

namespace kvferry::cli {
namespace {

constexpr std::size_t kWidth = 90;
constexpr std::size_t kTextColumn = 30;
constexpr const char* kUngrouped = "Options";

std::string two_columns(const std::string& left, const std::string& text) {
  std::string out = "  " + left;
  if (out.size() + 2 > kTextColumn) {
    out += '\n' + std::string(kTextColumn, ' ');
  } else {
    out.resize(kTextColumn, ' ');
  }
  return out + wrap(text, kWidth - kTextColumn, kTextColumn) + '\n';
}

}  // namespace

std::string wrap(const std::string& text, std::size_t width, std::size_t indent) {
  std::string out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!out.empty()) out += '\n' + std::string(indent, ' ');
    std::size_t used = 0;
    std::istringstream words(line);
    for (std::string word; words >> word; used += word.size()) {
      if (used > 0 && used + 1 + word.size() > width) {
        out += '\n' + std::string(indent, ' ');
        used = 0;
      } else if (used > 0) {
        out += ' ';
        ++used;
      }
      out += word;
    }
  }
  return out;
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string name,
                                     CLI::AppFormatMode) const {
  std::string out = app->get_description() + "\n\n" + make_usage(app, std::move(name));
  const auto commands = app->get_subcommands([](const CLI::App*) { return true; });
  if (!commands.empty()) out += "\nCommands:\n";
  for (const CLI::App* command : commands) out += make_subcommand(command);
  const auto add_group = [&](const std::string& group) {
    const auto options = app->get_options(
        [&](const CLI::Option* o) { return o->nonpositional() && o->get_group() == group; });
    if (!options.empty()) out += fmt::format("\n{}:\n", group);
    for (const CLI::Option* option : options) out += make_option(option, false);
  };
  // CLI11 puts what has no group of its own (--help) first; it belongs last.
  for (const std::string& group : app->get_groups()) {
    if (group != kUngrouped && group != kHidden) add_group(group);
  }
  add_group(kUngrouped);
  return out + "\n" + make_footer(app);
}

std::string HelpFormatter::make_usage(const CLI::App* app, std::string name) const {
  const bool has_subcommands = !app->get_subcommands([](const CLI::App*) { return true; }).empty();
  std::string usage = fmt::format("Usage: {}{}", name.empty() ? app->get_name() : name,
                                  has_subcommands ? " COMMAND [options]" : " [options]");
  for (const CLI::Option* option : app->get_options()) {
    if (option->get_positional()) usage += fmt::format(" {}", option->get_type_name());
  }
  return usage + "\n";
}

std::string HelpFormatter::make_option(const CLI::Option* option, bool is_positional) const {
  std::string left = is_positional ? option->get_name(true) : "";
  for (const std::string& name : option->get_snames()) left += fmt::format("-{}, ", name);
  for (const std::string& name : option->get_lnames()) left += fmt::format("--{}, ", name);
  if (left.ends_with(", ")) left.resize(left.size() - 2);
  if (!option->get_type_name().empty()) left += fmt::format(" {}", option->get_type_name());
  std::string text = option->get_description();
  if (!option->get_default_str().empty()) {
    text += fmt::format(" (default {})", option->get_default_str());
  }
  return two_columns(left, text);
}

std::string HelpFormatter::make_subcommand(const CLI::App* sub) const {
  // The first line of a command's description is its summary.
  const std::string description = sub->get_description();
  return two_columns(sub->get_name(), description.substr(0, description.find('\n')));
}

}  // namespace kvferry::cli
