#include "kvferry/transfer_group.hpp"

#include <algorithm>

#include "base/time_after.hpp"

namespace kvferry {
namespace {

using Clock = std::chrono::steady_clock;

// While one part is waited for, the others are looked at so often.
constexpr std::chrono::milliseconds kLook{10};

// "a, b" of the different texts.
void join(std::string& sum, const std::string& text) {
  if (sum.find(text) != std::string::npos) return;
  sum += (sum.empty() ? "" : ", ") + text;
}

}  // namespace

void TransferGroup::add(Transfer part) {
  parts_.push_back(std::move(part));
  ended_.reset();
}

bool TransferGroup::look() {
  bool running = false;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const TransferState state = parts_[i].poll();
    running = running || state == TransferState::running;
    if (failed_ || state == TransferState::running || state == TransferState::done) continue;
    failed_ = i;
    cancel();
  }
  if (!running && !ended_) ended_ = Clock::now();
  return !running;
}

TransferState TransferGroup::poll() {
  if (!look()) return TransferState::running;
  return failed_ ? parts_[*failed_].poll() : TransferState::done;
}

bool TransferGroup::wait_for(std::chrono::nanoseconds timeout) {
  const auto until = time_after(Clock::now(), timeout);
  while (!look()) {
    const auto left = until - Clock::now();
    if (left <= left.zero()) return false;
    // The first that runs: its own wait is as quick as can be, and so is the last one's.
    for (const Transfer& part : parts_) {
      if (part.poll() != TransferState::running) continue;
      part.wait_for(std::min<std::chrono::nanoseconds>(left, kLook));
      break;
    }
  }
  return true;
}

void TransferGroup::wait() {
  while (!wait_for(std::chrono::hours(1))) {
  }
  if (failed_) parts_[*failed_].wait();
}

void TransferGroup::cancel() const noexcept {
  for (const Transfer& part : parts_) part.cancel();
}

TransferReport TransferGroup::report() const {
  TransferReport sum;
  for (const Transfer& part : parts_) {
    const TransferReport& report = part.report();
    join(sum.path, report.path);
    join(sum.method, report.method);
    sum.bytes += report.bytes;
    sum.blocks += report.blocks;
    sum.layers = std::max(sum.layers, report.layers);
    sum.pieces += report.pieces;
    sum.post_s += report.post_s;  // one after another
    sum.move_s = std::max(sum.move_s, report.move_s);
    sum.sync_s = std::max(sum.sync_s, report.sync_s);
  }
  sum.total_s = std::chrono::duration<double>(ended_.value_or(Clock::now()) - began_).count();
  return sum;
}

}  // namespace kvferry
