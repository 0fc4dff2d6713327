#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"

namespace kvferry::cli::doctor {

// Another process of this program, doing one job of doctor's. It dies with this one, whatever ends
// this one, and is ended by its pid when this object goes. One thread.
class Child {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Read : std::uint8_t { line, ended, late, interrupted };

  // Runs `program` with `arguments` (argv[0] included); "NAME=value" of `variable` is put into its
  // environment. Throws: Error{resource}.
  struct Command {
    std::string program = "/proc/self/exe";
    std::vector<std::string> arguments;
    std::string variable;
  };
  explicit Child(const Command& command);
  Child(Child&& other) noexcept;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  Child& operator=(Child&&) = delete;
  ~Child();

  // The next line it prints, without its end. `interrupt` becomes readable when all is to stop; -1:
  // nothing does.
  Read read_line(std::string& line, Clock::time_point until, int interrupt);
  // Asks it to end (by closing its standard input), then ends it. False: it could not be ended
  // within two seconds of SIGKILL, because it hangs in the kernel.
  bool finish(std::chrono::milliseconds patience) noexcept;
  // The end of what it said on standard error, and how it ended where it has: one line.
  std::string complaint();
  pid_t pid() const noexcept { return pid_; }

 private:
  bool reap_until(Clock::time_point until) noexcept;
  void drain_errors();
  bool take_line(std::string& line);

  pid_t pid_ = -1;  // -1: reaped, or given up
  int status_ = 0;
  bool ended_ = false;
  UniqueFd input_, output_, errors_;
  std::string buffer_, said_;
};

}  // namespace kvferry::cli::doctor
