#pragma once

#include <asio/error.hpp>
#include <cerrno>
#include <string>
#include <system_error>

#include "kvferry/error.hpp"

namespace kvferry::session {

// Says so where a call failed because the process or the system has no file descriptor left: then
// nothing is wrong with what was to be opened. Throws: Error{resource}.
inline void throw_if_out_of_files(const std::error_code& error, const std::string& what) {
  // By number: asio's category maps to no std::errc.
  if (error.category() == asio::system_category() &&
      (error.value() == EMFILE || error.value() == ENFILE))
    throw Error(ErrorCode::resource,
                what + ": " + error.message() + "; raise the limit of open files (ulimit -n)");
}

}  // namespace kvferry::session
