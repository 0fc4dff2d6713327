#pragma once

#include <string>

namespace kvferry::cli::bench {

// How this program was called, quoted for a shell, for the record of a benchmark.
std::string own_command_line();
// The commit this program was built from; empty where nobody knows.
std::string commit();

}  // namespace kvferry::cli::bench
