#pragma once

#include <cstdint>
#include <string>

namespace kvferry::cli {

// What the default path depends on, taken from the process's surroundings.
struct Surroundings {
  std::string runtime_dir;  // XDG_RUNTIME_DIR; empty: not set
  std::string tmp_dir = "/tmp";
  std::uint32_t uid = 0;
  std::uint32_t pid = 0;
};
Surroundings read_surroundings();

// Where serve listens if not told: RUNTIME_DIR/kvferry-PORT.sock where that directory is ours and
// closed to others, else TMP/kvferry-UID/kvferry-PORT.sock, whose directory is made with mode 0700.
// Port 0 (any free one) gives kvferry-pidPID.sock. Throws: Error{resource} where the directory is
// not ours, open to others or not a directory, saying which and what to do.
std::string default_socket_path(const Surroundings& here, std::uint16_t port);

// Removes what servers on any free port left in the directory of this path when they were killed;
// one that listens on a chosen port clears its own. What may belong to a server that lives, or that
// is just starting, stays, as does what cannot be removed.
void remove_abandoned_sockets(const std::string& socket_path) noexcept;

// For a path the user chose: whoever else can write its directory could put another socket there.
// A sticky directory (/tmp) is fine: there only its owner can replace a socket.
// Throws: Error{resource} naming the directory, and what to do.
void require_safe_directory(const std::string& socket_path);

}  // namespace kvferry::cli
