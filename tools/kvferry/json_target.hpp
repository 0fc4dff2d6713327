#pragma once

#include <string>
#include <string_view>

#include "base/unique_fd.hpp"

namespace kvferry::cli {

// Where --json (or another option's document) goes. A file appears under its name only when it is
// whole: it is written beside it and renamed. What is there already and is no regular file (a pipe,
// /dev/stdout) is written to.
class JsonTarget {
 public:
  // Opens it now, so that a bad path is an error before the work and not after it. "-" is standard
  // output; a named pipe may take ten seconds to find a reader. Throws: Error{invalid_argument}
  // naming the option, the path and why.
  explicit JsonTarget(const std::string& path, std::string option = "--json");
  ~JsonTarget();
  JsonTarget(const JsonTarget&) = delete;
  JsonTarget& operator=(const JsonTarget&) = delete;

  // Throws: Error{resource} when it cannot be written (disk full, reader gone).
  void write(std::string_view text);

 private:
  std::string reason() const;

  std::string path_;
  std::string option_;
  std::string temporary_;  // empty: written in place
  UniqueFd fd_;
};

}  // namespace kvferry::cli
