#include <fmt/format.h>

#include <algorithm>

#include "bench/suite.hpp"
#include "kvferry/error.hpp"
#include "quote.hpp"

namespace kvferry::cli::bench {
namespace {

bool names(std::string_view text, const Work& work) {
  return to_string(work.group) == text || work.key().find(text) != std::string::npos;
}
bool names(std::string_view text, const Skipped& skipped) {
  return skipped.what.find(text) != std::string::npos;
}

// True: there was one.
template <typename T>
bool mark(const std::vector<T>& all, std::string_view text, std::vector<bool>& wanted) {
  bool any = false;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!text.empty() && names(text, all[i])) wanted[i] = any = true;
  }
  return any;
}

template <typename T>
std::vector<T> those(const std::vector<T>& all, const std::vector<bool>& wanted) {
  std::vector<T> some;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (wanted[i]) some.push_back(all[i]);
  }
  return some;
}

}  // namespace

Suite select(const Suite& suite, std::string_view only) {
  if (only.empty()) return suite;
  const auto& [works, skipped] = suite;
  std::vector<bool> wanted(works.size()), said(skipped.size());
  for (std::size_t at = 0; at <= only.size();) {
    const std::size_t comma = std::min(only.find(',', at), only.size());
    const std::string_view text = only.substr(at, comma - at);
    at = comma + 1;
    // Whoever asks for what cannot be measured here is told why.
    const bool reason = mark(skipped, text, said);
    if (mark(works, text, wanted) || reason) continue;
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--only: {} names nothing that can be measured here; give groups "
                            "(throughput, blocks, sms, latency, posting, clients, tcp, ucx) or "
                            "parts of keys such as {}",
                            quote(text), works.empty() ? "host" : works.front().key()));
  }
  return {those(works, wanted), those(skipped, said)};
}

}  // namespace kvferry::cli::bench
