#pragma once

#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace kvferry::cli {

// A shell's completion script, made by walking the options the program itself parses, so that it
// cannot lag behind them. `shell`: bash, zsh or fish. Requires: one of these.
std::string completion_script(const CLI::App& app, std::string_view shell);

}  // namespace kvferry::cli
