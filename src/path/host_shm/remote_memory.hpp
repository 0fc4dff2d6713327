#pragma once

#include <memory>
#include <string>
#include <vector>

#include "path/path.hpp"

namespace kvferry::path::host {

// How this process reaches a peer's host pool.
enum class Reach {
  none,
  direct,   // both pools are of this process
  mapped,   // memfds, mapped here
  private_  // the peer's own memory, by process_vm_readv and process_vm_writev
};
struct ReachVerdict {
  Reach reach = Reach::none;
  std::string reason;  // why none
};
// From what the offer says alone; touches nothing of the peer.
ReachVerdict judge_reach(const RemoteEnd& remote);

// A peer's pool made reachable: where its planes are, and what must live while they are used.
struct RemoteMemory {
  plan::BlockMap map;
  std::vector<std::unique_ptr<memory::Mapping>> mappings;  // mapped
  std::vector<std::shared_ptr<memory::Region>> regions;    // direct
};
// Throws: Error{refused} when the offer does not describe the pool it says it does (a plane outside
// its region, descriptors missing), Error{resource}. Requires: reach is not none.
RemoteMemory open_remote(const RemoteEnd& remote, Reach reach);

}  // namespace kvferry::path::host
