#include <cstring>
#include <stdexcept>

#include "block_bytes.hpp"

namespace kvferry::peers {
namespace {

void require_host(int device) {
  if (device >= 0) throw std::runtime_error("this driver was built without CUDA");
}

}  // namespace

void copy_in(int device, void* to, const void* from, std::size_t bytes) {
  require_host(device);
  std::memcpy(to, from, bytes);
}

void copy_out(int device, void* to, const void* from, std::size_t bytes) {
  copy_in(device, to, from, bytes);
}

void set_bytes(int device, void* to, int value, std::size_t bytes) {
  require_host(device);
  std::memset(to, value, bytes);
}

}  // namespace kvferry::peers
