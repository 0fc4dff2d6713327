#include "doctor/command.hpp"

#include <CLI/CLI.hpp>

#include "kvferry/error.hpp"

namespace kvferry::cli {

CLI::App& add_doctor(CLI::App& root, DoctorOptions&) {
  return *root.add_subcommand("doctor", "in work");
}

int run_doctor(const DoctorOptions&, const ToolContext&) {
  throw Error(ErrorCode::refused, "doctor is being written");
}

}  // namespace kvferry::cli
