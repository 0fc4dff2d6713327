// What one would write by hand for GPU memory: two processes, the owner's cudaMalloc opened by the
// other through CUDA IPC, and for every block of every layer either one cudaMemcpyAsync ("loop") or
// one entry of a single cudaMemcpyBatchAsync ("batch"); then the stream is synchronised.

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda_call.hpp"
#include "driver.hpp"

namespace {

using namespace kvferry;
using nlohmann::json;
using peers::cuda_call;

class CudaByHand : public peers::Contestant {
 public:
  json own(const peers::Geometry& geometry, const json& options, json& settings) override {
    if (geometry.device < 0) throw std::runtime_error("for GPU memory only");
    geometry_ = geometry;
    batch_ = options.value("copy", "loop") == "batch";
    int driver = 0, runtime = 0;
    cuda_call(cudaSetDevice(geometry.device), "cudaSetDevice");
    cuda_call(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
    cuda_call(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
    settings = {{"version", "CUDA runtime " + version(runtime) + ", driver " + version(driver)},
                {"copy", method()}};
    cuda_call(cudaMalloc(&mine_, geometry.pool_bytes()), "cudaMalloc");
    cuda_call(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
    cudaIpcMemHandle_t handle{};
    cuda_call(cudaIpcGetMemHandle(&handle, mine_), "cudaIpcGetMemHandle");
    const auto* const bytes = reinterpret_cast<const unsigned char*>(&handle);
    return std::vector<unsigned>(bytes, bytes + sizeof handle);
  }
  void connect(const json& address) override {
    const auto numbers = address.get<std::vector<unsigned>>();
    const std::vector<unsigned char> bytes(numbers.begin(), numbers.end());
    cudaIpcMemHandle_t handle{};
    if (bytes.size() != sizeof handle) throw std::runtime_error("not an IPC handle");
    std::memcpy(&handle, bytes.data(), sizeof handle);
    cuda_call(cudaSetDevice(geometry_.device), "cudaSetDevice");
    cuda_call(cudaIpcOpenMemHandle(&theirs_, handle, cudaIpcMemLazyEnablePeerAccess),
              "cudaIpcOpenMemHandle");
  }
  std::byte* layer(std::uint32_t layer) const override {
    return static_cast<std::byte*>(mine_) + layer * geometry_.layer_bytes();
  }
  std::uint64_t block_stride() const override { return geometry_.block_bytes; }
  void choose(const peers::Work& work) override {
    work_ = work;
    const std::size_t pieces = work.local.size() * geometry_.layers;
    to_.resize(pieces);
    from_.resize(pieces);
    sizes_.assign(pieces, geometry_.block_bytes);
  }
  void transfer() override {
    std::size_t piece = 0;
    for (std::uint32_t l = 0; l < geometry_.layers; ++l) {
      std::byte* const other = static_cast<std::byte*>(theirs_) + l * geometry_.layer_bytes();
      for (std::size_t i = 0; i < work_.local.size(); ++i, ++piece) {
        std::byte* const here = layer(l) + work_.local[i] * geometry_.block_bytes;
        std::byte* const there = other + work_.remote[i] * geometry_.block_bytes;
        to_[piece] = work_.pull ? here : there;
        from_[piece] = work_.pull ? there : here;
        if (!batch_) {
          cuda_call(cudaMemcpyAsync(to_[piece], from_[piece], geometry_.block_bytes,
                                    cudaMemcpyDefault, stream_),
                    "cudaMemcpyAsync");
        }
      }
    }
    if (batch_) copy_batch();
    cuda_call(cudaStreamSynchronize(stream_), "the copies");
  }
  std::string method() const override {
    return batch_ ? "one cudaMemcpyBatchAsync" : "cudaMemcpyAsync for each block and layer";
  }

 private:
  void copy_batch() {
    // One set of attributes, for all copies from the first on.
    cudaMemcpyAttributes attributes{};
    attributes.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
    std::size_t first = 0;
    cuda_call(cudaMemcpyBatchAsync(to_.data(), from_.data(), sizes_.data(), to_.size(), &attributes,
                                   &first, 1, stream_),
              "cudaMemcpyBatchAsync");
  }
  static std::string version(int number) {
    return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
  }

  // All of it lives as long as the process.
  peers::Geometry geometry_;
  bool batch_ = false;
  void* mine_ = nullptr;
  void* theirs_ = nullptr;
  cudaStream_t stream_ = nullptr;
  peers::Work work_;
  std::vector<void*> to_;
  std::vector<const void*> from_;
  std::vector<std::size_t> sizes_;
};

}  // namespace

int main() {
  CudaByHand contestant;
  return peers::serve(contestant);
}
