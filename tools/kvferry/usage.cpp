#include "usage.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "quote.hpp"

namespace kvferry::cli {
namespace {

std::string unknown_option(const CLI::App& app, const std::string& given) {
  const std::string name = given.substr(0, given.find('='));
  std::string nearest;
  std::size_t least = 3;  // a word further away is another word
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& known : option->get_lnames()) {
      // No option is meant by a word as short as the distance.
      if (name.size() < 5) continue;
      const std::size_t distance = edit_distance(name, "--" + known);
      if (distance < least) {
        least = distance;
        nearest = known;
      }
    }
  }
  // A plain name is easier to read without quotes; anything odd is quoted.
  const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_';
  });
  std::string message = "unknown option " + (plain && name.size() <= 60 ? name : quote(name));
  if (!nearest.empty()) message += fmt::format("; did you mean --{}?", nearest);
  return message;
}

std::string unknown_argument(const CLI::App& app, const std::string& fallback) {
  const std::vector<std::string> rest = app.remaining();
  if (rest.empty()) return fallback;
  const auto option = std::find_if(rest.begin(), rest.end(), [](const std::string& word) {
    return word.size() > 1 && word.front() == '-';
  });
  if (option != rest.end()) return unknown_option(app, *option);
  return fmt::format("unexpected argument {}", quote(rest.front()));
}

std::string wrong_count(const CLI::App& app, const std::string& fallback) {
  const std::string name = fallback.substr(0, fallback.find_first_of(": "));
  const CLI::Option* option = app.get_option_no_throw(name);
  if (option == nullptr) return fallback;
  if (option->count() < 2) return name + " needs a value";
  return fmt::format("{} was given {}", name,
                     option->count() == 2 ? "twice" : fmt::format("{} times", option->count()));
}

std::string wrong_command(const CLI::App& app, const std::vector<std::string>& arguments) {
  std::string names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    names += (names.empty() ? "" : ", ") + sub->get_name();
  }
  if (arguments.empty()) return "a command is required: " + names;
  const std::string& first = arguments.front();
  if (first.starts_with('-') && first.size() > 1) return unknown_option(app, first);
  return fmt::format("{} is not a command; the commands are {}", quote(first), names);
}

}  // namespace

UsageError explain_usage(const CLI::App& app, const CLI::ParseError& error,
                         const std::vector<std::string>& arguments) {
  const auto commands = app.get_subcommands();
  if (commands.empty()) return {app.get_name(), wrong_command(app, arguments)};
  const CLI::App& command = *commands.front();
  std::string message = error.what();
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    message = unknown_argument(command, message);
  } else if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    message = wrong_count(command, message);
  }
  return {app.get_name() + ' ' + command.get_name(), message};
}

std::vector<std::string> expand_help(const CLI::App& app, std::vector<std::string> arguments) {
  if (arguments.empty() || arguments.front() != "help") return arguments;
  arguments.erase(arguments.begin());
  if (!arguments.empty() && arguments.front() == "help") arguments.erase(arguments.begin());
  // What is no command stays without it, and so is an error.
  const auto named = [&](const CLI::App* sub) { return sub->get_name() == arguments.front(); };
  const bool known = arguments.empty() || !app.get_subcommands(named).empty();
  if (known) arguments.emplace_back("--help");
  return arguments;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  // Rows of the usual table; two before the current one, for swaps.
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace kvferry::cli
