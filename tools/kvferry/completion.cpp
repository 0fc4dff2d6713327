#include "completion.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>

#include "completion_model.hpp"
#include "option_checks.hpp"
#include "plan/links.hpp"

namespace kvferry::cli {
namespace {

// The first clause: completion lists have one line an option.
std::string summary_of(const std::string& description) {
  return description.substr(0, description.find_first_of(";\n"));
}

std::string first_sentence(const std::string& description) {
  return description.substr(0, description.find_first_of(".\n"));
}

CompletedOption model_of(const CLI::Option& option) {
  CompletedOption model;
  for (const std::string& name : option.get_snames()) model.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) model.names.push_back("--" + name);
  model.summary = summary_of(option.get_description());
  const std::string type = option.get_type_name();
  model.takes_value = option.get_items_expected_max() > 0;
  if (!model.takes_value) return model;
  // The help shows some links; there are too many for one line of it.
  model.choices = type.ends_with("|LINKS") ? planning::link_words() : fixed_words(type);
  model.takes_file = type.starts_with("FILE") || type == "PATH" || type == "CONFIG.json";
  return model;
}

}  // namespace

std::vector<std::string> fixed_words(std::string_view type) {
  std::vector<std::string> words;
  for (std::string word : split_choices(type)) {
    word.resize(std::min(word.find('['), word.size()));
    if (word.ends_with(":N")) word.back() = '0';
    const bool placeholder =
        std::any_of(word.begin(), word.end(), [](unsigned char c) { return std::isupper(c) != 0; });
    if (!placeholder && !word.empty()) words.push_back(std::move(word));
  }
  return words;
}

CompletedProgram completion_model(const CLI::App& app) {
  CompletedProgram program{app.get_name(), {}, {}};
  for (const CLI::Option* option : app.get_options()) program.options.push_back(model_of(*option));
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    CompletedCommand command{sub->get_name(), first_sentence(sub->get_description()), {}, {}};
    for (const CLI::Option* option : sub->get_options()) {
      if (option->get_positional()) {
        command.words = fixed_words(option->get_type_name());
      } else if (option->get_group() != kHidden) {
        command.options.push_back(model_of(*option));
      }
    }
    program.commands.push_back(std::move(command));
  }
  return program;
}

std::string completion_script(const CLI::App& app, std::string_view shell) {
  const CompletedProgram program = completion_model(app);
  if (shell == "bash") return bash_script(program);
  return shell == "zsh" ? zsh_script(program) : fish_script(program);
}

}  // namespace kvferry::cli
