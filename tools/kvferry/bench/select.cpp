#include <fmt/format.h>

#include <algorithm>

#include "bench/suite.hpp"
#include "kvferry/error.hpp"
#include "quote.hpp"

namespace kvferry::cli::bench {

std::vector<Work> select(const std::vector<Work>& works, std::string_view only) {
  if (only.empty()) return works;
  std::vector<bool> wanted(works.size());
  for (std::size_t at = 0; at <= only.size();) {
    const std::size_t comma = std::min(only.find(',', at), only.size());
    const std::string_view text = only.substr(at, comma - at);
    at = comma + 1;
    bool any = false;
    for (std::size_t i = 0; i < works.size(); ++i) {
      const bool hit = !text.empty() && (to_string(works[i].group) == text ||
                                         works[i].key().find(text) != std::string::npos);
      if (hit) wanted[i] = any = true;
    }
    if (any) continue;
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--only: {} names nothing that can be measured here; give groups "
                            "(throughput, blocks, sms, latency, posting, clients) or parts of keys "
                            "such as {}",
                            quote(text), works.empty() ? "host" : works.front().key()));
  }
  std::vector<Work> selected;
  for (std::size_t i = 0; i < works.size(); ++i) {
    if (wanted[i]) selected.push_back(works[i]);
  }
  return selected;
}

}  // namespace kvferry::cli::bench
