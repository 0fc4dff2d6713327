#include "plan/distinct_ids.hpp"

#include <algorithm>
#include <vector>

namespace kvferry::plan {
namespace {

// Ids from here on are sorted instead: a table for all 2^32 would have 8 GiB.
constexpr std::uint32_t kMaxStamped = 1u << 22;

// A list often ascends: nothing to look up then.
bool ascends(std::span<const std::uint32_t> ids) {
  for (std::size_t i = 1; i < ids.size(); ++i) {
    if (ids[i] <= ids[i - 1]) return false;
  }
  return true;
}

// Marks ids with the number of the call, so that the next call finds none of them marked. 16 bits
// of it: a caller that has slept finds the table cold, and half as many lines are 1 us less for 480
// ids and more.
class StampTable {
 public:
  std::optional<std::size_t> find_repeated(std::span<const std::uint32_t> ids,
                                           std::uint32_t highest) {
    if (stamps_.size() <= highest) stamps_.resize(std::size_t{highest} + 1, 0);
    if (++epoch_ == 0) {  // after 2^16 calls old stamps would look new
      std::fill(stamps_.begin(), stamps_.end(), 0);
      epoch_ = 1;
    }
    // Copies: the table is a thread's, whose place would be asked for at every id.
    const auto stamps = std::span(stamps_);
    const std::uint16_t epoch = epoch_;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (stamps[ids[i]] == epoch) return i;
      stamps[ids[i]] = epoch;
    }
    return std::nullopt;
  }

 private:
  std::vector<std::uint16_t> stamps_;
  std::uint16_t epoch_ = 0;
};

std::optional<std::size_t> find_repeated_sorted(std::span<const std::uint32_t> ids) {
  std::vector<std::size_t> places(ids.size());
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = i;
  std::sort(places.begin(), places.end(), [ids](std::size_t a, std::size_t b) {
    return ids[a] != ids[b] ? ids[a] < ids[b] : a < b;
  });
  std::optional<std::size_t> first;
  for (std::size_t i = 1; i < places.size(); ++i) {
    if (ids[places[i]] == ids[places[i - 1]]) {
      first = first ? std::min(*first, places[i]) : places[i];
    }
  }
  return first;
}

}  // namespace

std::optional<std::size_t> find_repeated(std::span<const std::uint32_t> ids,
                                         std::uint32_t highest) {
  if (ascends(ids)) return std::nullopt;
  if (highest >= kMaxStamped) return find_repeated_sorted(ids);
  thread_local StampTable table;
  return table.find_repeated(ids, highest);
}

}  // namespace kvferry::plan
