#pragma once

#include <memory>
#include <string>

#include "bench/reference.hpp"

// What transfers over networks are held against.
namespace kvferry::cli::bench {

// Plain sockets over as many connections of loopback, in host memory whatever is moved.
// Throws: as PlainSockets.
std::unique_ptr<Reference> make_socket_reference(unsigned streams, const std::string& congestion);

// What one core encrypts: AES-256-GCM by OpenSSL in pieces of 16 KiB, the same in each, as
// `openssl speed -evp aes-256-gcm -bytes 16384` measures it.
std::unique_ptr<Reference> make_cipher_reference();

// One contiguous get by UCX between two workers of this process, of memory on these devices
// ("host", "cuda:0"), with its transports as UcxOptions::transports. Throws: Error{refused} (this
// build has no UCX, or it has no such transport), Error{resource}.
struct UcxEnds {
  std::string from, to, transports;
};
std::unique_ptr<Reference> make_ucx_reference(const UcxEnds& ends);

}  // namespace kvferry::cli::bench
