// What one would write by hand for a network: plain sockets, a thread for each at both ends, that
// send and receive the blocks where they lie. Option "streams": how many.

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include "base/unique_fd.hpp"
#include "bench/whole_pieces.hpp"
#include "driver.hpp"
#include "path/tcp/wire_socket.hpp"

namespace {

using namespace kvferry;
using cli::bench::cut;
using cli::bench::receive_all;
using cli::bench::send_all;
using nlohmann::json;

void require(bool good, const char* what) {
  if (!good) throw std::system_error(errno, std::generic_category(), what);
}

// Blocks that follow one another are one piece.
class Pieces {
 public:
  Pieces(std::byte* base, const peers::Geometry& geometry, const std::vector<std::uint32_t>& ids) {
    for (std::uint32_t layer = 0; layer < geometry.layers; ++layer) {
      for (const std::uint32_t id : ids) {
        add(base + layer * geometry.layer_bytes() + id * geometry.block_bytes,
            geometry.block_bytes);
      }
    }
  }
  // The part of one of so many streams.
  std::vector<iovec> part(std::size_t stream, std::size_t streams) const {
    return cut(pieces_, bytes_ * stream / streams, bytes_ * (stream + 1) / streams);
  }

 private:
  void add(std::byte* at, std::size_t bytes) {
    bytes_ += bytes;
    if (!pieces_.empty()) {
      iovec& last = pieces_.back();
      if (static_cast<std::byte*>(last.iov_base) + last.iov_len == at) {
        last.iov_len += bytes;
        return;
      }
    }
    pieces_.push_back({at, bytes});
  }
  std::vector<iovec> pieces_;
  std::size_t bytes_ = 0;
};

// What the starter asks of each stream, before the ids of a case or the bytes of a transfer.
struct Word {
  char what = 0;  // 'i': ids follow; 'r': send them to me; 'w': they come, say when they are there
  std::uint32_t stream = 0, streams = 0, count = 0;
};

bool send_bytes(int fd, const void* at, std::size_t bytes) noexcept {
  return send_all(fd, {{const_cast<void*>(at), bytes}});
}
bool receive_bytes(int fd, void* at, std::size_t bytes) noexcept {
  return receive_all(fd, {{at, bytes}});
}

class SocketsByHand : public peers::Contestant {
 public:
  json own(const peers::Geometry& geometry, const json& options, json& settings) override {
    if (geometry.device >= 0) throw std::runtime_error("for host memory only");
    geometry_ = geometry;
    streams_ = options.at("streams");
    // Written once, so that all pages are there; it lives as long as the process.
    memory_ = static_cast<std::byte*>(std::aligned_alloc(4096, geometry.pool_bytes()));
    require(memory_ != nullptr, "allocating the pool");
    std::fill_n(memory_, geometry.pool_bytes(), std::byte{0});
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = loopback(0);
    auto* any = reinterpret_cast<sockaddr*>(&address);
    socklen_t bytes = sizeof address;
    require(::bind(listener_.get(), any, bytes) == 0, "bind");
    require(::listen(listener_.get(), static_cast<int>(streams_)) == 0, "listen");
    require(::getsockname(listener_.get(), any, &bytes) == 0, "getsockname");
    std::thread([this] { accept_all(); }).detach();
    settings = {{"streams", streams_}};
    return ntohs(address.sin_port);
  }

  void connect(const json& port) override {
    sockaddr_in address = loopback(port);
    for (unsigned i = 0; i < streams_; ++i) {
      sockets_.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      const int fd = sockets_.back().get();
      require(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "connect");
      congestion_ = path::tcp::tune_socket(fd, "");
    }
    for (unsigned i = 1; i < streams_; ++i) {
      std::thread([this, i] { help(i); }).detach();
    }
  }

  std::byte* layer(std::uint32_t layer) const override {
    return memory_ + layer * geometry_.layer_bytes();
  }
  std::uint64_t block_stride() const override { return geometry_.block_bytes; }

  void choose(const peers::Work& work) override {
    pull_ = work.pull;
    pieces_ = std::make_unique<Pieces>(memory_, geometry_, work.local);
    for (unsigned i = 0; i < streams_; ++i) {
      const Word word{'i', i, streams_, static_cast<std::uint32_t>(work.remote.size())};
      const int fd = sockets_[i].get();
      if (!send_bytes(fd, &word, sizeof word) ||
          !send_bytes(fd, work.remote.data(), work.remote.size() * sizeof(std::uint32_t))) {
        throw std::runtime_error("the owner has gone");
      }
    }
  }

  void transfer() override {
    ended_ = 0;
    ++round_;
    round_.notify_all();
    if (!move(0)) broken_ = true;
    for (unsigned ended = ended_; ended + 1 < streams_; ended = ended_) ended_.wait(ended);
    if (broken_) throw std::runtime_error("the owner has gone");
  }

  std::string method() const override {
    return "send and recv, " + std::to_string(streams_) + " x tcp, " + congestion_;
  }

 private:
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  // ---- the owner ----

  void accept_all() {
    while (true) {
      const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      path::tcp::tune_socket(fd, "");
      std::thread([this, fd] { serve(UniqueFd(fd)); }).detach();
    }
  }
  void serve(const UniqueFd& socket) const {
    const int fd = socket.get();
    std::vector<iovec> part;
    for (Word word; receive_bytes(fd, &word, sizeof word);) {
      bool good = true;
      if (word.what == 'i') {
        std::vector<std::uint32_t> ids(word.count);
        good = receive_bytes(fd, ids.data(), ids.size() * sizeof ids[0]);
        part = Pieces(memory_, geometry_, ids).part(word.stream, word.streams);
      } else if (word.what == 'r') {
        good = send_all(fd, part);
      } else {
        good = receive_all(fd, part) && send_bytes(fd, "!", 1);
      }
      if (!good) return;
    }
  }

  // ---- the starter ----

  void help(unsigned stream) {
    for (unsigned seen = 0;; ++seen) {
      round_.wait(seen);
      if (!move(stream)) broken_ = true;
      ++ended_;
      ended_.notify_one();
    }
  }
  bool move(unsigned stream) const {
    const int fd = sockets_[stream].get();
    const Word word{pull_ ? 'r' : 'w', stream, streams_, 0};
    if (!send_bytes(fd, &word, sizeof word)) return false;
    char done = 0;
    if (pull_) return receive_all(fd, pieces_->part(stream, streams_));
    return send_all(fd, pieces_->part(stream, streams_)) && receive_bytes(fd, &done, 1);
  }

  peers::Geometry geometry_;
  unsigned streams_ = 1;
  std::byte* memory_ = nullptr;
  UniqueFd listener_;
  std::vector<UniqueFd> sockets_;
  std::string congestion_;
  bool pull_ = true;
  std::unique_ptr<Pieces> pieces_;
  std::atomic<unsigned> round_{0}, ended_{0};
  std::atomic<bool> broken_{false};
};

}  // namespace

int main() {
  // Its threads end with the process, whose end `serve` is.
  auto* const contestant = new SocketsByHand;
  const int code = peers::serve(*contestant);
  std::_Exit(code);
}
