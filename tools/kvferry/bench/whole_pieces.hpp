#pragma once

#include <sys/uio.h>

#include <vector>

namespace kvferry::cli::bench {

// All of the pieces, by a blocking socket and calls of at most 1 MiB, which is what plain programs
// do. False: the connection has ended.
bool send_all(int fd, std::vector<iovec> pieces) noexcept;
bool receive_all(int fd, std::vector<iovec> pieces) noexcept;

// Bytes [begin, end) of the pieces' bytes, as pieces.
std::vector<iovec> cut(const std::vector<iovec>& pieces, std::size_t begin, std::size_t end);

}  // namespace kvferry::cli::bench
