#pragma once

#include "memory/region.hpp"

namespace kvferry::memory {

// Lets `device` reach a GPU region of this same process at its own addresses: two pools of one
// process need no IPC. Throws: Error{refused} where the GPUs cannot reach each other.
void allow_access(const Region& region, int device);

}  // namespace kvferry::memory
