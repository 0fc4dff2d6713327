#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kvferry::cli {

struct NewFile {
  std::string path, text;
  bool secret = false;  // mode 0600 instead of 0644
};
// Writes all of them, or leaves none. Throws: Error{resource} where one is there already or cannot
// be written.
void write_new(const std::vector<NewFile>& files);

// Throws: Error{resource}, naming the path and what it is.
std::string read_file(const std::string& path, std::string_view what);

}  // namespace kvferry::cli
