#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <utility>
#include <vector>

namespace kvferry::path::tcp {

enum class StageUse { outgoing, incoming };

// Who may hold one of a GPU's stages, and who is to be told when one is given back.
//
// What is on its way out holds half of them at most: it waits for a peer that may be waiting for a
// stage of its own to put other bytes in. What has come in waits for a kernel alone.
//
// A holder (a link to a peer) may take one while it has fewer than are left for that use: alone it
// gets half, and one whose peer stopped, or reads a byte a second, leaves the others enough to go
// on ("dynamic threshold": Choudhury and Hahne, IEEE/ACM ToN 6(2), 1998). Not thread-safe.
class StageQueue {
 public:
  using Kick = std::function<void()>;
  using Waiting = std::pair<const void*, Kick>;  // the holder's
  // Requires: most >= 2.
  explicit StageQueue(unsigned most) : most_(most) {}

  // False: none for this holder and use now, and `kick` waits for give_back(); one of each holder,
  // whose streams it tells all, however many of them have asked.
  bool take(StageUse use, const void* holder, const Kick& kick) {
    unsigned& held = held_[{use, holder}];
    if (held >= left(use)) {
      if (held == 0) held_.erase({use, holder});
      if (std::ranges::find(waiting_, holder, &Waiting::first) == waiting_.end())
        waiting_.emplace_back(holder, kick);
      return false;
    }
    ++held;
    ++in_use_;
    if (use == StageUse::outgoing) ++outgoing_;
    return true;
  }
  // Everybody who waits, to be called in this order, without locks: whoever comes first may have
  // ended since, and would keep it from the others.
  [[nodiscard]] std::vector<Waiting> give_back(StageUse use, const void* holder) noexcept {
    --in_use_;
    if (use == StageUse::outgoing) --outgoing_;
    const auto held = held_.find({use, holder});
    if (--held->second == 0) held_.erase(held);
    return std::exchange(waiting_, {});
  }

 private:
  unsigned left(StageUse use) const noexcept {
    const unsigned all = most_ - in_use_;
    return use == StageUse::incoming ? all : std::min(all, most_ / 2 - outgoing_);
  }

  const unsigned most_;
  unsigned in_use_ = 0, outgoing_ = 0;
  std::map<std::pair<StageUse, const void*>, unsigned> held_;  // none is zero
  std::vector<Waiting> waiting_;
};

}  // namespace kvferry::path::tcp
