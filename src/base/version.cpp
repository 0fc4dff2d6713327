#include "kvferry/version.hpp"

// The numbers live in version.hpp alone; the build passes in only what the headers cannot know.
#define KVFERRY_QUOTE_(x) #x
#define KVFERRY_QUOTE(x) KVFERRY_QUOTE_(x)
#define KVFERRY_VERSION_STRING         \
  KVFERRY_QUOTE(KVFERRY_VERSION_MAJOR) \
  "." KVFERRY_QUOTE(KVFERRY_VERSION_MINOR) "." KVFERRY_QUOTE(KVFERRY_VERSION_PATCH)
#ifndef KVFERRY_CUDA_DESCRIPTION
#define KVFERRY_CUDA_DESCRIPTION "without CUDA"
#endif

namespace kvferry {

std::string_view version() noexcept { return KVFERRY_VERSION_STRING; }

std::string_view build_description() noexcept {
  return KVFERRY_VERSION_STRING ", " KVFERRY_CUDA_DESCRIPTION;
}

}  // namespace kvferry
