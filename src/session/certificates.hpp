#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace kvferry::session {

// A certificate and its private key, as PEM.
struct CertifiedKey {
  std::string certificate, key;
};

struct CertificateRequest {
  std::string name;  // the common name; of a node also a name it may be dialled by
  // Names and numeric addresses that a node may be dialled by.
  std::vector<std::string> hosts{};
  std::chrono::system_clock::time_point from{}, to{};
};

// P-256 keys. Throws: Error{invalid_argument} (a name or host that cannot be one, times the wrong
// way round), Error{resource}.
CertifiedKey make_authority(const CertificateRequest& request);
// Throws: also Error{invalid_argument} where `authority` is none, or its key is another's.
CertifiedKey make_certificate(const CertificateRequest& request, const CertifiedKey& authority);

}  // namespace kvferry::session
