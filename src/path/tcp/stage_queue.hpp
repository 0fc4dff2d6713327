#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace kvferry::path::tcp {

enum class StageUse { outgoing, incoming };

// Who may hold one of a GPU's stages, and who is to be told when one is given back.
//
// What is on its way out holds half of them at most: it waits for a peer that may be waiting for a
// stage of its own to put other bytes in. What has come in waits for a kernel alone, so there is
// always one that is given back. Not thread-safe.
class StageQueue {
 public:
  using Kick = std::function<void()>;
  // Requires: most >= 2.
  explicit StageQueue(unsigned most) : most_(most) {}

  // False: none for this use now, and `kick` waits for give_back().
  bool take(StageUse use, const Kick& kick) {
    const bool full = in_use_ == most_ || (use == StageUse::outgoing && outgoing_ == most_ / 2);
    if (full) {
      waiting_.push_back(kick);
      return false;
    }
    ++in_use_;
    if (use == StageUse::outgoing) ++outgoing_;
    return true;
  }
  // Everybody who waits, to be called in this order, without locks: whoever comes first may have
  // ended since, and would keep it from the others.
  [[nodiscard]] std::vector<Kick> give_back(StageUse use) noexcept {
    --in_use_;
    if (use == StageUse::outgoing) --outgoing_;
    return std::exchange(waiting_, {});
  }

 private:
  const unsigned most_;
  unsigned in_use_ = 0, outgoing_ = 0;
  std::vector<Kick> waiting_;
};

}  // namespace kvferry::path::tcp
