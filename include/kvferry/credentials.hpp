#pragma once

#include <string>
#include <vector>

#include "kvferry/export.hpp"

namespace kvferry {

// What a node proves itself with to peers on other hosts, and what it demands of them: a token that
// both sides know, or a certificate of the same authority. Connections that a credential protects
// are TLS 1.3. Local peers need none: the kernel says who they are. `kvferry keygen` makes either.
struct KVFERRY_API Credentials {
  // A token: one line "NAME SECRET", where SECRET is at least 32 random bytes in base64. A
  // listener's file may hold several lines, one for each client it lets in. Must not be readable by
  // others.
  std::string token_file{};
  // Or these three, PEM: our certificate (and what leads from it to the authority), its private
  // key, which must not be readable by others, and the authority that signs ours and theirs.
  std::string certificate{}, key{}, authority{};
  // Blocks travel as they are; control stays inside TLS. Both sides must say so.
  bool plain_data = false;

  bool empty() const noexcept {
    return token_file.empty() && certificate.empty() && key.empty() && authority.empty();
  }
};

// What the holder of one credential may do with the pools of a listener. On top of that a pool must
// be writable to be pushed into.
struct KVFERRY_API Permission {
  std::string credential = "*";  // name of a token, or common name of a certificate; *: any other
  bool read = true;
  bool write = true;
  std::vector<std::string> pools{};  // empty: all
};

}  // namespace kvferry
