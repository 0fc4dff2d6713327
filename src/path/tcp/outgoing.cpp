#include "path/tcp/outgoing.hpp"

#include <algorithm>

#include "path/tcp/crc32c.hpp"

namespace kvferry::path::tcp {

Outgoing::Next Outgoing::next(OutChunk& chunk, Clock::time_point& when) {
  std::unique_lock lock(mutex_);
  when = Clock::time_point::max();
  if (over()) return Next::none;
  if (setup_.max_streams != 0 && on_streams_ >= setup_.max_streams) return Next::later;
  const bool ready = is_ready();
  const auto bytes = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(setup_.chunk_bytes, setup_.bytes - next_offset_));
  const auto now = Clock::now();
  // All are asked before any counts: what one of them holds back takes nothing from the others.
  auto allowed = now;
  for (const auto& limit : setup_.limits)
    if (limit && ready) allowed = std::max(allowed, limit->when());
  if (allowed > now) {
    when = allowed;
    return Next::later;
  }
  std::unique_ptr<Staged> stage;
  auto pieces = ready ? pieces_of(next_offset_, bytes, stage) : std::nullopt;
  if (stopped_) {
    // It failed just now. Told on another thread: this one holds its link's lock.
    return Next::none;
  }
  if (!pieces) return Next::later;
  for (const auto& limit : setup_.limits)
    if (limit) limit->count(bytes, now);
  chunk.of = shared_from_this();
  chunk.offset = next_offset_;
  chunk.bytes = bytes;
  chunk.pieces = *pieces;
  chunk.stage = std::move(stage);
  next_offset_ += bytes;
  ++under_way_;
  ++on_streams_;
  return Next::chunk;
}

void Outgoing::prepare() noexcept {
  std::unique_lock lock(mutex_);
  if (over()) return;
  go_ahead();
  settle(lock);
}

void Outgoing::finished(OutChunk& chunk, bool sent) noexcept {
  chunk.stage.reset();
  std::unique_lock lock(mutex_);
  --under_way_;
  --on_streams_;
  if (sent) sent_ += chunk.bytes;
  if (!sent) stop_within({});
  settle(lock);
}

void Outgoing::stop() noexcept {
  std::unique_lock lock(mutex_);
  stop_within({});
  settle(lock);
}

void Outgoing::stop_within(std::string error) noexcept {
  if (stopped_ || told_) return;
  stopped_ = true;
  error_ = std::move(error);
  forget_ahead();
}

void Outgoing::end_ahead() noexcept {
  std::unique_lock lock(mutex_);
  --under_way_;
  settle(lock);
}

bool Outgoing::stopped() const noexcept {
  const std::lock_guard lock(mutex_);
  return stopped_;
}

std::uint64_t Outgoing::bytes_sent() const noexcept {
  const std::lock_guard lock(mutex_);
  return sent_;
}

void Outgoing::settle(std::unique_lock<std::mutex>& lock) noexcept {
  if (told_ || under_way_ > 0 || !over()) return;
  told_ = true;
  const std::string error = error_;
  lock.unlock();
  if (setup_.on_quiet) setup_.on_quiet(error);
}

std::uint32_t checksum_of(PieceBatch pieces) noexcept {
  std::uint32_t crc = 0;
  while (!pieces.empty()) {
    std::uint64_t bytes = 0;
    for (const iovec& piece : pieces.fill()) {
      crc = crc32c({static_cast<const std::byte*>(piece.iov_base), piece.iov_len}, crc);
      bytes += piece.iov_len;
    }
    pieces.consume(bytes);
  }
  return crc;
}

}  // namespace kvferry::path::tcp
