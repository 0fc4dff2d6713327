#include <fmt/format.h>

#include "completion_model.hpp"

// Each script is plain text for its shell: no call back into the program, so completion stays fast
// and works before the program does.
namespace kvferry::cli {
namespace {

// In single quotes for a POSIX shell.
std::string shell_quote(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

// In single quotes for fish, which escapes with a backslash.
std::string fish_quote(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

// A backslash before what _arguments and _describe read as their own.
std::string zsh_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string names_of(const std::vector<CompletedOption>& options) {
  std::string names;
  for (const CompletedOption& option : options) {
    for (const std::string& name : option.names)
      names += fmt::format("{}{}", names.empty() ? "" : " ", name);
  }
  return names;
}

std::string bash_values(const CompletedOption& option) {
  if (option.takes_file) {
    return "compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")";
  }
  if (option.choices.empty()) return ":";
  return fmt::format("mapfile -t COMPREPLY < <(compgen -W {} -- \"$cur\")",
                     shell_quote(fmt::format("{}", fmt::join(option.choices, " "))));
}

std::string bash_case(const CompletedCommand& command) {
  std::string out = fmt::format("    {})\n", command.name);
  std::string cases;
  for (const CompletedOption& option : command.options) {
    if (!option.takes_value) continue;
    cases += fmt::format("        {}) {}; return ;;\n", fmt::join(option.names, "|"),
                         bash_values(option));
  }
  if (!cases.empty()) out += fmt::format("      case $prev in\n{}      esac\n", cases);
  std::string words = names_of(command.options);
  for (const std::string& word : command.words) words += fmt::format(" {}", word);
  return out + fmt::format("      words={} ;;\n", shell_quote(words));
}

std::string zsh_option(const CompletedOption& option) {
  std::string value;
  if (option.takes_file) {
    value = ":file:_files";
  } else if (!option.choices.empty()) {
    std::string choices;
    for (const std::string& choice : option.choices)
      choices += fmt::format(" {}", zsh_escape(choice));
    value = fmt::format(":value:({})", choices.substr(1));
  } else if (option.takes_value) {
    value = ":value: ";
  }
  std::string out;
  for (const std::string& name : option.names) {
    // "=": the value may follow as --name=value or as the next word.
    const bool long_name = name.starts_with("--");
    const std::string spec = fmt::format("{}{}[{}]{}", name, value.empty() || !long_name ? "" : "=",
                                         zsh_escape(option.summary), value);
    out += fmt::format(" \\\n        {}", shell_quote(spec));
  }
  return out;
}

std::string fish_option(const std::string& program, const std::string& condition,
                        const CompletedOption& option) {
  std::string out = fmt::format("complete -c {} -n {}", program, fish_quote(condition));
  for (const std::string& name : option.names) {
    const bool long_name = name.starts_with("--");
    out += fmt::format(" {} {}", long_name ? "-l" : "-s", name.substr(long_name ? 2 : 1));
  }
  if (option.takes_file) {
    out += " -r -F";
  } else if (option.takes_value) {
    out += " -x";
  }
  if (!option.choices.empty()) {
    out += fmt::format(" -a {}", fish_quote(fmt::format("{}", fmt::join(option.choices, " "))));
  }
  return out + fmt::format(" -d {}\n", fish_quote(option.summary));
}

}  // namespace

std::string bash_script(const CompletedProgram& program) {
  std::vector<std::string> commands;
  std::string cases;
  for (const CompletedCommand& command : program.commands) {
    commands.push_back(command.name);
    cases += bash_case(command);
  }
  return fmt::format(
      R"(# bash completion of {0}; made by: {0} completion bash
_{0}() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} command='' words='' word
  # bash makes "=" and ":" words of their own.
  if [[ $prev == '=' ]]; then prev=${{COMP_WORDS[COMP_CWORD-2]}}; fi
  if [[ $cur == '=' ]]; then cur=''; fi
  COMPREPLY=()
  if [[ $cur == ':' || $prev == ':' ]]; then return; fi
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case $word in
      {1}) command=$word; break ;;
    esac
  done
  case $command in
{2}    *) words={3} ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}}
complete -F _{0} {0}
)",
      program.name, fmt::join(commands, "|"), cases,
      shell_quote(fmt::format("{} {}", fmt::join(commands, " "), names_of(program.options))));
}

std::string zsh_script(const CompletedProgram& program) {
  std::string commands, cases, options;
  for (const CompletedOption& option : program.options) options += zsh_option(option);
  for (const CompletedCommand& command : program.commands) {
    commands += fmt::format(
        "    {}\n", shell_quote(fmt::format("{}:{}", command.name, zsh_escape(command.summary))));
    std::string arguments;
    for (const CompletedOption& option : command.options) arguments += zsh_option(option);
    if (!command.words.empty()) {
      const auto spec = fmt::format("1:value:({})", fmt::join(command.words, " "));
      arguments += fmt::format(" \\\n        {}", shell_quote(spec));
    }
    cases += fmt::format("    {})\n      _arguments{} ;;\n", command.name, arguments);
  }
  return fmt::format(R"(#compdef {0}
# zsh completion of {0}; made by: {0} completion zsh
_{0}() {{
  local -a commands
  commands=(
{1}  )
  if (( CURRENT == 2 )); then
    _describe command commands
    _arguments{2}
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
{3}  esac
}}
# Both as a file in $fpath and from: source <({0} completion zsh)
if [[ $funcstack[1] == _{0} ]]; then
  _{0} "$@"
else
  compdef _{0} {0}
fi
)",
                     program.name, commands, options, cases);
}

std::string fish_script(const CompletedProgram& program) {
  const std::string& name = program.name;
  std::string out = fmt::format(
      "# fish completion of {0}; made by: {0} completion fish\ncomplete -c {0} -f\n", name);
  const std::string none = "__fish_use_subcommand";
  for (const CompletedOption& option : program.options) out += fish_option(name, none, option);
  for (const CompletedCommand& command : program.commands) {
    out += fmt::format("complete -c {} -n {} -a {} -d {}\n", name, none, command.name,
                       fish_quote(command.summary));
    const std::string seen = fmt::format("__fish_seen_subcommand_from {}", command.name);
    if (!command.words.empty()) {
      out += fmt::format("complete -c {} -n {} -a {}\n", name, fish_quote(seen),
                         fish_quote(fmt::format("{}", fmt::join(command.words, " "))));
    }
    for (const CompletedOption& option : command.options) out += fish_option(name, seen, option);
  }
  return out;
}

}  // namespace kvferry::cli
