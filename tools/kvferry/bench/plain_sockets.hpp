#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/unique_fd.hpp"
#include "bench/bare_tls.hpp"

namespace kvferry::cli::bench {

// What path tcp is held against: one contiguous buffer copied into another over connections of
// loopback, by threads that do nothing but send() and recv(), or OpenSSL's calls in their place,
// one at each end of each. One caller.
class PlainSockets {
 public:
  enum class Inside { nothing, tls };

  // `congestion` as NetworkOptions::congestion. Throws: Error{resource}, and
  // Error{invalid_argument} for a congestion control that this kernel does not have.
  PlainSockets(unsigned streams, const std::string& congestion, Inside inside = Inside::nothing);
  ~PlainSockets();
  PlainSockets(const PlainSockets&) = delete;
  PlainSockets& operator=(const PlainSockets&) = delete;

  // "cubic": the one in use.
  const std::string& congestion() const noexcept { return congestion_; }
  // Seconds from asking for so many bytes, equal parts on each connection, to having them all.
  // Throws: Error{resource}.
  double copy(std::uint64_t bytes);

 private:
  struct End {
    UniqueFd socket;
    std::optional<BareTls> tls;
    bool send_all(const std::vector<iovec>& pieces) noexcept;
    bool receive_all(const std::vector<iovec>& pieces) noexcept;
  };

  // What one stream carries of the bytes of either side.
  std::vector<iovec> part(std::vector<std::byte>& bytes, std::size_t stream) const;
  void grow(std::uint64_t bytes);
  // At the far ends: what one byte of `asking` asks for.
  void send_when_asked(std::size_t stream) noexcept;
  void receive_each_round(std::size_t stream, const std::stop_token& stop) noexcept;
  // False: the connection has ended.
  bool receive(std::size_t stream) noexcept;

  std::string congestion_;
  std::vector<std::pair<End, End>> streams_;  // where bytes arrive, where they come from
  std::vector<std::byte> from_, to_;
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<unsigned> round_{0}, received_{0};
  std::atomic<bool> broken_{false};
  std::vector<std::jthread> threads_;
};

}  // namespace kvferry::cli::bench
