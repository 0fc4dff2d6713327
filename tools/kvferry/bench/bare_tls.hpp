#pragma once

#include <sys/uio.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

struct ssl_st;

namespace kvferry::cli::bench {

// One end of a connection inside TLS 1.3 (AES-128-GCM, as path tcp takes it), by OpenSSL alone:
// SSL_write() and SSL_read() over a blocking socket, as any program would call them. One thread.
// Requires: SIGPIPE is ignored, for OpenSSL writes without MSG_NOSIGNAL.
class BareTls {
 public:
  // Both ends of one connection, which must outlive them. Their key is in this file and protects
  // nothing. Throws: Error{resource}.
  static std::pair<BareTls, BareTls> over(int near, int far);

  // All of the pieces. False: the connection has ended.
  bool send_all(const std::vector<iovec>& pieces) noexcept;
  bool receive_all(const std::vector<iovec>& pieces) noexcept;

  // "OpenSSL 3.0.19": the library that is loaded.
  static std::string version();

 private:
  struct Free {
    void operator()(ssl_st* ssl) const noexcept;
  };
  explicit BareTls(std::unique_ptr<ssl_st, Free> ssl) : ssl_(std::move(ssl)) {}

  std::unique_ptr<ssl_st, Free> ssl_;
};

}  // namespace kvferry::cli::bench
