// What one would write by hand for host memory: the owner's pool in a memfd, mapped by the other
// process, and a memcpy for every block of every layer.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "driver.hpp"

namespace {

using namespace kvferry;
using nlohmann::json;

void require(bool good, const char* what) {
  if (!good) throw std::system_error(errno, std::generic_category(), what);
}

// Shared pages, all of them there from the start: the first touch is not what is compared.
std::byte* map_pool(int fd, std::size_t bytes) {
  void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  require(at != MAP_FAILED, "mmap");
  return static_cast<std::byte*>(at);
}

class HostByHand : public peers::Contestant {
 public:
  json own(const peers::Geometry& geometry, const json&, json& settings) override {
    if (geometry.device >= 0) throw std::runtime_error("for host memory only");
    geometry_ = geometry;
    // The mappings live as long as the process.
    const int fd = ::memfd_create("peers", MFD_CLOEXEC);
    require(fd >= 0, "memfd_create");
    require(::ftruncate(fd, static_cast<off_t>(geometry.pool_bytes())) == 0, "ftruncate");
    mine_ = map_pool(fd, geometry.pool_bytes());
    settings = {{"copy", "memcpy for each block and layer, one thread"}};
    return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd);
  }
  void connect(const json& address) override {
    const int fd = ::open(address.get<std::string>().c_str(), O_RDWR | O_CLOEXEC);
    require(fd >= 0, "open the owner's memory");
    theirs_ = map_pool(fd, geometry_.pool_bytes());
    ::close(fd);
  }
  std::byte* layer(std::uint32_t layer) const override {
    return mine_ + layer * geometry_.layer_bytes();
  }
  std::uint64_t block_stride() const override { return geometry_.block_bytes; }
  void choose(const peers::Work& work) override { work_ = work; }
  void transfer() override {
    for (std::uint32_t l = 0; l < geometry_.layers; ++l) {
      for (std::size_t i = 0; i < work_.local.size(); ++i) {
        std::byte* const ours = layer(l) + work_.local[i] * geometry_.block_bytes;
        std::byte* const other =
            theirs_ + l * geometry_.layer_bytes() + work_.remote[i] * geometry_.block_bytes;
        std::memcpy(work_.pull ? ours : other, work_.pull ? other : ours, geometry_.block_bytes);
      }
    }
  }
  std::string method() const override { return "memcpy"; }

 private:
  peers::Geometry geometry_;
  std::byte* mine_ = nullptr;
  std::byte* theirs_ = nullptr;
  peers::Work work_;
};

}  // namespace

int main() {
  HostByHand contestant;
  return peers::serve(contestant);
}
