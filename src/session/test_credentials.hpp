#pragma once

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "kvferry/credentials.hpp"
#include "session/certificates.hpp"
#include "session/keys.hpp"
#include "session/token_file.hpp"

// Credentials in files, for tests.
namespace kvferry::session {

class TestCredentials {
 public:
  using Clock = std::chrono::system_clock;

  TestCredentials() {
    char pattern[] = "/tmp/kvferry-credentials-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    authority_ = make_authority(lasting("test-ca"));
    write("ca.pem", authority_.certificate, 0644);
  }
  ~TestCredentials() { std::filesystem::remove_all(directory_); }

  std::string write(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path, std::ios::trunc) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }
  static std::string token_line(const std::string& name) {
    const auto secret = draw<wire::Secret>();
    return name + " " + to_base64({secret.begin(), secret.end()}) + "\n";
  }
  Credentials token(const std::string& name) const {
    Credentials c;
    c.token_file = write(name + ".token", token_line(name));
    return c;
  }
  static CertificateRequest lasting(const std::string& name,
                                    std::chrono::hours from = std::chrono::hours(-1),
                                    std::chrono::hours to = std::chrono::hours(24 * 30)) {
    return {name, {"127.0.0.1", "localhost"}, Clock::now() + from, Clock::now() + to};
  }
  Credentials certificate(const CertificateRequest& request) const {
    return files(request.name, make_certificate(request, authority_), directory_ + "/ca.pem");
  }
  Credentials certificate(const std::string& name) const { return certificate(lasting(name)); }
  Credentials files(const std::string& name, const CertifiedKey& made,
                    const std::string& authority) const {
    Credentials c;
    c.certificate = write(name + ".pem", made.certificate, 0644);
    c.key = write(name + ".key", made.key);
    c.authority = authority;
    return c;
  }
  const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
  CertifiedKey authority_;
};

}  // namespace kvferry::session
