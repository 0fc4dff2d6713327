#pragma once

#include <string_view>

#include "kvferry/export.hpp"

#define KVFERRY_VERSION_MAJOR 0
#define KVFERRY_VERSION_MINOR 1
#define KVFERRY_VERSION_PATCH 0

namespace kvferry {

// "0.1.0"
KVFERRY_API std::string_view version() noexcept;
// What this build can do: "0.1.0, CUDA 13.0 (sm_80 sm_90 sm_100 PTX)" or "0.1.0, without CUDA".
KVFERRY_API std::string_view build_description() noexcept;

}  // namespace kvferry
