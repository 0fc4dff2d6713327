#pragma once

// The whole public API.
#include "kvferry/copy_costs.hpp"      // IWYU pragma: export
#include "kvferry/credentials.hpp"     // IWYU pragma: export
#include "kvferry/error.hpp"           // IWYU pragma: export
#include "kvferry/node.hpp"            // IWYU pragma: export
#include "kvferry/pool.hpp"            // IWYU pragma: export
#include "kvferry/registry.hpp"        // IWYU pragma: export
#include "kvferry/shape.hpp"           // IWYU pragma: export
#include "kvferry/transfer.hpp"        // IWYU pragma: export
#include "kvferry/transfer_group.hpp"  // IWYU pragma: export
#include "kvferry/version.hpp"         // IWYU pragma: export
