#include "path/host_shm/host_shm_path.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "path/host_shm/host_shm_route.hpp"
#include "path/host_shm/piece_mover.hpp"
#include "path/host_shm/remote_memory.hpp"

namespace kvferry::path {

namespace {

UniqueFd duplicate(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) {
    throw Error(ErrorCode::resource,
                fmt::format("cannot duplicate a pidfd: {}; check ulimit -n", std::strerror(errno)));
  }
  return copy;
}

// Reads one byte, which is the only way to know what ptrace_scope and namespaces allow.
std::optional<std::string> probe(const host::PeerProcess& peer, const RemoteEnd& remote) {
  std::byte byte{};
  const host::Piece piece{remote.offer.regions.front().chunks.front().address,
                          reinterpret_cast<std::uintptr_t>(&byte), 1};
  return peer.copy({&piece, 1}, Direction::pull);
}

}  // namespace

HostShmPath::HostShmPath(unsigned copy_threads)
    : threads_(std::make_shared<host::CopyThreads>(copy_threads)) {}

PathVerdict HostShmPath::judge(const detail::PoolImpl& local, const RemoteEnd& remote) const {
  PathVerdict verdict;
  verdict.path = name();
  if (remote.over_network) {
    verdict.reason = kReachedOverTcp;
    return verdict;
  }
  if (local.device.is_cuda()) {
    verdict.reason = fmt::format("the local pool is on {}; host_shm copies between host pools",
                                 local.device.to_string());
    return verdict;
  }
  const auto [reach, reason] = host::judge_reach(remote);
  const auto copies =
      fmt::format("{} on {} threads", host::streaming_copies().front().name, threads_->count());
  switch (reach) {
    case host::Reach::none: verdict.reason = reason; return verdict;
    case host::Reach::direct: verdict.reason = "both pools are of this process: " + copies; break;
    case host::Reach::mapped: verdict.reason = "maps the peer's memory: " + copies; break;
    case host::Reach::private_:
      if (const auto refusal =
              probe(host::PeerProcess(remote.pid, duplicate(remote.pidfd)), remote)) {
        verdict.reason = *refusal;
        return verdict;
      }
      verdict.reason =
          "the remote pool is attached private memory: process_vm_readv, about half the speed of a "
          "pool that kvferry allocates";
      break;
  }
  verdict.usable = true;
  return verdict;
}

std::unique_ptr<Route> HostShmPath::open(const std::shared_ptr<detail::PoolImpl>& local,
                                         RemoteEnd remote) {
  const auto [reach, reason] = host::judge_reach(remote);
  if (reach == host::Reach::none) throw Error(ErrorCode::refused, reason);
  auto route_memory = host::open_remote(remote, reach);
  std::shared_ptr<host::PieceMover> mover;
  if (reach == host::Reach::private_) {
    mover = std::make_shared<host::ProcessVmMover>(
        host::PeerProcess(remote.pid, duplicate(remote.pidfd)));
  } else {
    mover = std::make_shared<host::MappedMover>();
  }
  threads_->start();
  return std::make_unique<host::HostShmRoute>(host::HostShmRoute::Setup{
      .local = local,
      .remote = std::move(route_memory),
      .offer = std::move(remote.offer),
      .writable = remote.writable,
      .mover = std::move(mover),
      .threads = threads_,
  });
}

}  // namespace kvferry::path
