#pragma once

#include "kvferry/pool.hpp"

namespace kvferry::path::ucx {

// Makes a GPU's context current in this thread: UCX works in whichever is. Host: does nothing.
// Throws: Error{resource}.
void bind_device(Device device);

}  // namespace kvferry::path::ucx
