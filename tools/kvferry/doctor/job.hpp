#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "doctor/child.hpp"
#include "tool_context.hpp"

// What doctor has other processes of this program do. They are started with the command line
// `kvferry doctor` and a job in the environment, so that nothing of it shows to users.
namespace kvferry::cli::doctor {

struct Job {
  enum class Role : std::uint8_t {
    gpus,   // says what the driver says, as JSON
    owner,  // serves a pool until its standard input ends
    mover   // moves blocks between a pool of its own and the owners', one after another
  };
  struct Target {
    std::string device, socket;
    bool private_memory = false;  // the owner's attached pool rather than the one kvferry allocated
  };
  Role role = Role::gpus;
  std::string device;                         // owner, mover: "host", "cuda:0"
  std::string socket;                         // owner
  std::vector<Target> targets;                // mover
  std::chrono::milliseconds timeout{30'000};  // mover: for one transfer
};

// What an owner and a mover print once they are set up.
inline constexpr const char* kReady = "ready";

Child start_job(const Job& job);
// The job this process was started for. Throws: Error{resource} when it is not one of ours.
std::optional<Job> job_of_this_process();
// Returns the exit code. Throws: Error.
int run_job(const Job& job, const ToolContext& context);

// The mover's work, in move_pairs.cpp; prints one JSON line for each target.
void run_mover(const Job& job, const ToolContext& context);

}  // namespace kvferry::cli::doctor
