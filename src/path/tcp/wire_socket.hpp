#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/unique_fd.hpp"

namespace kvferry::path::tcp {

// A connected stream that never blocks, as far as chunks are concerned. One thread at a time.
class WireSocket {
 public:
  virtual ~WireSocket() = default;
  // Bytes taken from, or written into, the front of the pieces; 0: not now, wait for the socket.
  // Throws: Error{unreachable} when the connection is over.
  virtual std::size_t send(std::span<const iovec> pieces) = 0;
  virtual std::size_t receive(std::span<const iovec> pieces) = 0;
  // Sends what was taken and waits inside. False: some is left, until the socket can be written.
  virtual bool flush() { return true; }
  // A hint before the socket is waited for: less than so many bytes need not wake anybody.
  virtual void expect(std::size_t bytes) noexcept { (void)bytes; }
  virtual int fd() const noexcept = 0;
  // "tcp", "tls"
  virtual std::string name() const = 0;
};

// The socket as it is. Takes ownership, and makes it non-blocking.
std::unique_ptr<WireSocket> plain_wire(UniqueFd socket);

// What every data socket gets: no delay for small pieces; a dead host is noticed; congestion
// control as named (empty: on loopback one that suits it, else the system's). Returns the
// congestion control in use. Throws: Error{invalid_argument} for one that the kernel does not have
// or does not allow, with those it does.
std::string tune_socket(int fd, const std::string& congestion);
// Throws: Error{invalid_argument} as above. Empty is good.
void check_congestion(const std::string& congestion);
// Those that this process may use, by the kernel: "reno cubic bbr".
std::string congestion_controls();

}  // namespace kvferry::path::tcp
