#pragma once

#include <string>
#include <vector>

#include "kvferry/node.hpp"
#include "output.hpp"

namespace kvferry::cli {

// The path that transfers of the pool "kv" take and, for each faster one, why not. `asked`: --path.
void print_chosen_path(const std::vector<PairExplanation>& pairs, const std::string& asked,
                       Output& out);
// Every path of every pair, with its reason.
void print_all_paths(const std::vector<PairExplanation>& pairs, Output& out);

}  // namespace kvferry::cli
