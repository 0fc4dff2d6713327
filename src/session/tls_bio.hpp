#pragma once

#include <openssl/bio.h>

#include <cstddef>
#include <vector>

namespace kvferry::session {

// Where a TLS connection's bytes go: what it writes is collected, to be sent in large pieces (and
// without SIGPIPE, which the library's own BIO raises); what it reads comes from the socket.
struct SocketBio {
  std::vector<std::byte>* out = nullptr;
  int socket = -1;
  int* io_error = nullptr;  // errno of a read that failed
};
// Throws: Error{resource}.
BIO* make_socket_bio(const SocketBio& ends);

}  // namespace kvferry::session
