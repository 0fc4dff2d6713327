#include "path/host_shm/piece_mover.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace kvferry::path::host {

namespace {

// A call's worth: more gains nothing.
constexpr std::size_t kMaxVectors = 64;

struct Vectors {
  std::array<iovec, kMaxVectors> local;
  std::array<iovec, kMaxVectors> remote;
  std::size_t count = 0;
  std::uint64_t bytes = 0;
};

// The pieces from byte `done` of the first on.
Vectors vectors_of(std::span<const Piece> pieces, std::uint64_t done, Direction direction) {
  Vectors vectors;
  for (const Piece& piece : pieces.first(std::min(pieces.size(), kMaxVectors))) {
    const auto source = reinterpret_cast<void*>(piece.source + done);
    const auto target = reinterpret_cast<void*>(piece.target + done);
    const std::size_t bytes = piece.bytes - done;
    const bool pull = direction == Direction::pull;
    vectors.local[vectors.count] = {pull ? target : source, bytes};
    vectors.remote[vectors.count] = {pull ? source : target, bytes};
    ++vectors.count;
    vectors.bytes += bytes;
    done = 0;
  }
  return vectors;
}

std::string ptrace_scope() {
  std::ifstream file("/proc/sys/kernel/yama/ptrace_scope");
  std::string value;
  return file >> value ? value : "absent";
}

}  // namespace

std::optional<std::string> MappedMover::move(std::span<const Piece> pieces, Direction) noexcept {
  copy_.copy(pieces);
  return std::nullopt;
}

std::string MappedMover::name(Direction) const { return std::string(copy_.name); }

bool PeerProcess::alive() const noexcept {
  pollfd watch{pidfd_.get(), POLLIN, 0};
  // Readable once the process has ended; a failing poll proves nothing, so it counts as ended.
  return ::poll(&watch, 1, 0) == 0;
}

std::optional<std::string> PeerProcess::copy(std::span<const Piece> pieces,
                                             Direction direction) const noexcept {
  std::uint64_t done = 0;  // of the first piece
  while (!pieces.empty()) {
    const Vectors vectors = vectors_of(pieces, done, direction);
    // Looked at before, so that we write into no other process, and after, so that what was read
    // came from this one: while it had not ended, its pid was its own.
    if (!alive()) return "the peer process has ended";
    const auto call = direction == Direction::pull ? ::process_vm_readv : ::process_vm_writev;
    const ssize_t moved =
        call(pid_, vectors.local.data(), vectors.count, vectors.remote.data(), vectors.count, 0);
    if (moved <= 0) return explain_process_vm(moved < 0 ? errno : EFAULT);
    if (!alive()) return "the peer process has ended";
    // Short where the peer's memory ends within: the next call says why.
    auto left = static_cast<std::uint64_t>(moved);
    while (!pieces.empty() && left >= pieces.front().bytes - done) {
      left -= pieces.front().bytes - done;
      done = 0;
      pieces = pieces.subspan(1);
    }
    done += left;
  }
  return std::nullopt;
}

std::string explain_process_vm(int error) {
  switch (error) {
    case EPERM:
    case EACCES:
      return fmt::format(
          "the kernel forbids access to the peer's private memory (kernel.yama.ptrace_scope is "
          "{}; also needed: the same user and user namespace, and a peer that may be dumped): let "
          "kvferry allocate the pool, or let the peer call prctl(PR_SET_PTRACER, ...)",
          ptrace_scope());
    case ESRCH: return "the peer process has ended";
    case EFAULT: return "the peer's attached memory is no longer mapped at its address";
    default: return fmt::format("process_vm_readv or process_vm_writev: {}", std::strerror(error));
  }
}

}  // namespace kvferry::path::host
