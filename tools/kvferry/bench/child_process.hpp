#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"

namespace kvferry::cli::bench {

// This program again, or another one, as another process. Killed when this process dies, whatever
// it dies of, and by the destructor; a Ctrl-C at the terminal does not reach it. Move-only.
class ChildProcess {
 public:
  // Starts it with these arguments. Its standard input is a pipe from write(), or empty.
  // Throws: Error{resource}.
  static ChildProcess start(const std::vector<std::string>& arguments, bool with_input);
  // Another program, by its path.
  static ChildProcess start_program(const std::string& program,
                                    const std::vector<std::string>& arguments, bool with_input);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();

  pid_t pid() const noexcept { return pid_; }
  // What it has printed so far, on both streams: the last `most` bytes.
  std::string output(std::size_t most = 4096) const;
  // The lines it printed since the last call; only whole ones.
  std::vector<std::string> new_lines();
  // Throws: Error{resource} when it has gone.
  void write(std::string_view text) const;
  void close_input() noexcept { input_.reset(); }
  // Its exit status once it has ended: as of a shell, 128 + the signal where one ended it.
  std::optional<int> poll_exit();
  // SIGTERM, without waiting; wait_end() then waits, and kills it after `patience`.
  void ask_to_end() noexcept;
  void wait_end(std::chrono::milliseconds patience) noexcept;

 private:
  ChildProcess() = default;

  pid_t pid_ = -1;
  std::optional<int> exit_;
  UniqueFd input_;
  // A file without a name rather than a pipe: nobody need read it, and it can never be full.
  UniqueFd output_;
  std::size_t read_ = 0;
};

}  // namespace kvferry::cli::bench
