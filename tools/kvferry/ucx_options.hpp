#pragma once

#include "kvferry/node.hpp"

namespace CLI {
class App;
}

// The options of --path ucx.
namespace kvferry::cli {

void add_ucx(CLI::App& app, UcxOptions& options);

}  // namespace kvferry::cli
