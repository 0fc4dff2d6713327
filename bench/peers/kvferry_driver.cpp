// kvferry as a contestant: two processes, one node each, one pool each; the public API and nothing
// else. A transfer is Peer::pull or push with the ids, and wait(): making the plan is part of it.

#include <cstdlib>
#include <filesystem>
#include <kvferry/kvferry.hpp>
#include <memory>
#include <optional>
#include <stdexcept>

#include "driver.hpp"

namespace {

using namespace kvferry;
using nlohmann::json;

// A directory of our own for the socket, gone with the process.
class SocketDirectory {
 public:
  SocketDirectory() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "kvferry-peers-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make " + pattern);
    path_ = pattern;
  }
  ~SocketDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  SocketDirectory(const SocketDirectory&) = delete;
  SocketDirectory& operator=(const SocketDirectory&) = delete;
  std::string socket() const { return path_ + "/socket"; }

 private:
  std::string path_;
};

// A shape whose blocks have this many bytes: only their size matters to a copy.
CacheShape shape_of(const peers::Geometry& geometry) {
  CacheShape shape{.layers = geometry.layers, .block_tokens = 1, .dtype = DType::bf16};
  const std::uint64_t token_bytes = shape.block_bytes();
  if (geometry.block_bytes % token_bytes != 0) {
    throw std::runtime_error("block_bytes: a multiple of " + std::to_string(token_bytes));
  }
  shape.block_tokens = static_cast<std::uint32_t>(geometry.block_bytes / token_bytes);
  return shape;
}

class Kvferry : public peers::Contestant {
 public:
  json own(const peers::Geometry& geometry, const json& options, json& settings) override {
    const std::string copy = options.value("copy", "auto");
    options_.copy = copy == "engine"   ? CopyMethod::engine
                    : copy == "kernel" ? CopyMethod::kernel
                                       : CopyMethod::automatic;
    options_.max_sms = options.value("max_sms", 0u);
    settings = {{"version", std::string(build_description())}, {"copy", copy}};
    options_.path = options.value("path", "auto");
    options_.streams = options.value("streams", 0u);
    pool_ = Pool::allocate(geometry.device < 0 ? Device::host() : Device::cuda(geometry.device),
                           shape_of(geometry), geometry.blocks, {.writable = true});
    node_.add(*pool_);
    // Path tcp opens its connections to the port, whichever way the peer came.
    node_.listen({.port = 0, .tcp = options_.path == "tcp", .socket_path = directory_.socket()});
    return "unix:" + directory_.socket();
  }
  void connect(const json& address) override {
    peer_ = node_.connect(address.get<std::string>());
    peer_->prepare(*pool_, options_);
  }
  std::byte* layer(std::uint32_t layer) const override {
    return static_cast<std::byte*>(pool_->layer(layer));
  }
  std::uint64_t block_stride() const override { return pool_->block_stride(); }
  void choose(const peers::Work& work) override { work_ = work; }
  void transfer() override {
    const Transfer transfer = work_.pull ? peer_->pull(*pool_, work_.remote, work_.local, options_)
                                         : peer_->push(*pool_, work_.remote, work_.local, options_);
    transfer.wait();
    last_ = transfer;
  }
  std::string method() const override {
    if (!last_) return "";
    const TransferReport& report = last_->report();
    return report.path + ", " + report.method;
  }

 private:
  SocketDirectory directory_;
  // The pool before the node: the node's end waits for what still moves.
  std::optional<Pool> pool_;
  Node node_;
  std::optional<Peer> peer_;
  std::optional<Transfer> last_;
  TransferOptions options_;
  peers::Work work_;
};

}  // namespace

int main() {
  Kvferry kvferry;
  return peers::serve(kvferry);
}
