#pragma once

#include <string>
#include <utility>

#include "kvferry/error.hpp"

namespace kvferry::cli {

// Runs a parser and puts the option's name before the message of the Error it throws.
template <typename F>
auto naming_option(const std::string& option, F&& parse) {
  try {
    return std::forward<F>(parse)();
  } catch (const Error& error) {
    throw Error(error.code(), option + ": " + error.what(), error.where());
  }
}

}  // namespace kvferry::cli
