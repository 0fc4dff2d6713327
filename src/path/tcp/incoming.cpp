#include "path/tcp/incoming.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace kvferry::path::tcp {
namespace {

// A network that moves at all brings something sooner; and if not, asking costs little.
constexpr auto kPause = std::chrono::milliseconds(100);

}  // namespace

Incoming::Incoming(Setup setup)
    : setup_(std::move(setup)),
      chunks_(chunk_count(setup_.bytes, setup_.chunk_bytes)),
      begun_(chunks_) {}

void Incoming::check_place(const ChunkHeader& header) const {
  const std::uint64_t index = header.offset / setup_.chunk_bytes;
  const bool there = header.offset % setup_.chunk_bytes == 0 && index < chunks_;
  const std::uint64_t bytes =
      there ? std::min<std::uint64_t>(setup_.chunk_bytes, setup_.bytes - header.offset) : 0;
  if (header.bytes != bytes)
    throw Error(ErrorCode::failed,
                fmt::format("a chunk of {} bytes at offset {} of a transfer of {} bytes in chunks "
                            "of {}",
                            header.bytes, header.offset, setup_.bytes, setup_.chunk_bytes));
  if (begun_[index])
    throw Error(ErrorCode::failed, fmt::format("the chunk at offset {} came twice", header.offset));
  if (header.checked != setup_.checked)
    throw Error(ErrorCode::failed, fmt::format("a chunk {} checksum where the request asked for {}",
                                               header.checked ? "with a" : "without a",
                                               setup_.checked ? "one" : "none"));
}

bool Incoming::begin(InChunk& chunk) {
  std::unique_lock lock(mutex_);
  const ChunkHeader& header = chunk.header;
  if (stopped_) {
    chunk.of = nullptr;
    return true;
  }
  check_place(header);
  std::unique_ptr<Staged> stage;
  std::optional<PieceBatch> place;
  try {
    place = place_of(header.offset, header.bytes, stage);
  } catch (const Error& error) {
    stop_locked(error.code(), error.what());
    chunk.of = nullptr;
    settle(lock);
    return true;
  }
  if (!place) return false;
  begun_[header.offset / setup_.chunk_bytes] = true;
  chunk.pieces = *place;
  chunk.stage = std::move(stage);
  return true;
}

Incoming::Enter Incoming::enter(const std::function<void()>& again) noexcept {
  std::unique_lock lock(mutex_);
  const auto now = Clock::now();
  if (!stopped_ && setup_.deadline && now >= *setup_.deadline)
    stop_locked(ErrorCode::deadline, "the deadline passed while blocks were moving");
  if (stopped_) {
    settle(lock);
    return Enter::drop;
  }
  if (setup_.hear_first && now - last_entered_ > kPause) {
    lock.unlock();
    setup_.hear_first([self = shared_from_this(), again] {
      {
        const std::lock_guard heard(self->mutex_);
        self->last_entered_ = Clock::now();
      }
      again();
    });
    return Enter::wait;
  }
  last_entered_ = now;
  ++inside_;
  return Enter::write;
}

void Incoming::unloaded(std::uint64_t landed) noexcept {
  std::unique_lock lock(mutex_);
  --inside_;
  landed_ += landed;
  settle(lock);
}

void Incoming::leave(std::uint64_t landed) noexcept {
  std::unique_lock lock(mutex_);
  --inside_;
  if (!is_staged()) landed_ += landed;
  settle(lock);
}

void Incoming::end(InChunk& chunk) noexcept {
  if (setup_.checked && chunk.crc32c != chunk.header.crc32c)
    return stop(
        ErrorCode::failed,
        fmt::format("the {} bytes at offset {} arrived damaged: their CRC-32C is {:#010x}, "
                    "the sender's {:#010x}",
                    chunk.header.bytes, chunk.header.offset, chunk.crc32c, chunk.header.crc32c));
  {
    std::unique_lock lock(mutex_);
    if (stopped_) return settle(lock);
    if (is_staged()) ++inside_;
  }
  unload(chunk);
  std::unique_lock lock(mutex_);
  ++ended_;
  settle(lock);
}

void Incoming::stop(ErrorCode why, std::string error) noexcept {
  std::unique_lock lock(mutex_);
  stop_locked(why, std::move(error));
  settle(lock);
}

void Incoming::stop_locked(ErrorCode why, std::string error) noexcept {
  if (stopped_ || told_) return;
  stopped_ = true;
  why_ = why;
  error_ = std::move(error);
}

void Incoming::settle(std::unique_lock<std::mutex>& lock) noexcept {
  if (told_ || inside_ > 0 || !(stopped_ || ended_ == chunks_)) return;
  told_ = true;
  Outcome outcome;
  outcome.complete = !stopped_;
  outcome.landed = landed_;
  outcome.why = why_;
  outcome.error = error_;
  lock.unlock();
  if (setup_.on_over) setup_.on_over(outcome);
}

}  // namespace kvferry::path::tcp
