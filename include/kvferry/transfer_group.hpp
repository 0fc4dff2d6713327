#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

#include "kvferry/export.hpp"
#include "kvferry/transfer.hpp"

namespace kvferry {

// Several transfers that are one to their user: the shares of a pull from several peers, say. One
// state for all: `done` when all are; otherwise the state of the first part that failed, which
// cancels the others. The state is terminal only when no part moves any more. Parts are looked at
// while somebody polls or waits; nobody does so in the background. Not thread-safe.
class KVFERRY_API TransferGroup {
 public:
  TransferGroup() noexcept : began_(std::chrono::steady_clock::now()) {}

  void add(Transfer part);
  // In the order they were added.
  const std::vector<Transfer>& parts() const noexcept { return parts_; }

  // Without blocking. A group without parts is done.
  TransferState poll();
  // Blocks until all have ended. Throws: the Error of the part that failed first.
  void wait();
  // Blocks at most so long; true when all have ended (in whatever state).
  bool wait_for(std::chrono::nanoseconds timeout);
  // Asks every part to end early.
  void cancel() const noexcept;
  // The part whose failure ended the others. nullopt: none so far.
  std::optional<std::size_t> first_failed() const noexcept { return failed_; }
  // All parts as one: sums of bytes, blocks and pieces, most of layers, and times from the making
  // of the group to the end of its last part. Requires: ended.
  TransferReport report() const;

 private:
  // Whether all have ended; notes the first failure, and cancels the rest.
  bool look();

  std::vector<Transfer> parts_;
  std::optional<std::size_t> failed_;
  std::chrono::steady_clock::time_point began_;
  std::optional<std::chrono::steady_clock::time_point> ended_;
};

}  // namespace kvferry
