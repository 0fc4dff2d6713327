#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

// The command line as a completion script sees it.
namespace kvferry::cli {

struct CompletedOption {
  std::vector<std::string> names;  // "--port", "-h"
  std::string summary;             // the start of its description
  bool takes_value = false;
  bool takes_file = false;
  std::vector<std::string> choices;  // fixed words the value can be
};

struct CompletedCommand {
  std::string name, summary;
  std::vector<CompletedOption> options;
  std::vector<std::string> words;  // what its positional argument can be
};

struct CompletedProgram {
  std::string name;
  std::vector<CompletedOption> options;
  std::vector<CompletedCommand> commands;
};

CompletedProgram completion_model(const CLI::App& app);

// The fixed words of an option's type: "auto|host|cuda:N" -> auto, host, cuda:0;
// "first|scattered[:SEED]|IDS" -> first, scattered; "FILE|-" -> -. Words in capitals are
// placeholders.
std::vector<std::string> fixed_words(std::string_view type);

std::string bash_script(const CompletedProgram& program);
std::string zsh_script(const CompletedProgram& program);
std::string fish_script(const CompletedProgram& program);

}  // namespace kvferry::cli
