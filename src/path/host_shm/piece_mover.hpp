#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/unique_fd.hpp"
#include "kvferry/transfer.hpp"
#include "path/host_shm/streaming_copy.hpp"

namespace kvferry::path::host {

// How the bytes of a piece get from source to target. Thread-safe.
class PieceMover {
 public:
  virtual ~PieceMover() = default;
  // Copies them all, or returns why it could not; some may have been copied then.
  virtual std::optional<std::string> move(std::span<const Piece> pieces,
                                          Direction direction) noexcept = 0;
  // "avx512 streaming"
  virtual std::string name(Direction direction) const = 0;
};

// Both sides are addresses in this process.
class MappedMover final : public PieceMover {
 public:
  explicit MappedMover(const StreamingCopy& copy = streaming_copies().front()) : copy_(copy) {}
  std::optional<std::string> move(std::span<const Piece> pieces,
                                  Direction direction) noexcept override;
  std::string name(Direction direction) const override;

 private:
  StreamingCopy copy_;
};

// A process known by its pid and watched by its pidfd, so that a pid used again is not taken for
// it. Its memory is reached by process_vm_readv and process_vm_writev.
class PeerProcess {
 public:
  PeerProcess(pid_t pid, UniqueFd pidfd) noexcept : pid_(pid), pidfd_(std::move(pidfd)) {}
  bool alive() const noexcept;
  // All pieces, at most 1024: from the peer's sources to our targets (pull) or from our sources to
  // the peer's targets (push). Returns why it failed, if it did.
  std::optional<std::string> copy(std::span<const Piece> pieces,
                                  Direction direction) const noexcept;

 private:
  pid_t pid_ = 0;
  UniqueFd pidfd_;
};

class ProcessVmMover final : public PieceMover {
 public:
  explicit ProcessVmMover(PeerProcess peer) noexcept : peer_(std::move(peer)) {}
  std::optional<std::string> move(std::span<const Piece> pieces,
                                  Direction direction) noexcept override {
    return peer_.copy(pieces, direction);
  }
  std::string name(Direction direction) const override {
    return direction == Direction::pull ? "process_vm_readv" : "process_vm_writev";
  }

 private:
  PeerProcess peer_;
};

// Why the kernel lets us not touch that process's memory, and what to do about it, from errno.
std::string explain_process_vm(int error);

}  // namespace kvferry::path::host
