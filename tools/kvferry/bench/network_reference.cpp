#include "bench/network_reference.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <chrono>

#include "bench/plain_sockets.hpp"
#include "kvferry/error.hpp"
#include "units.hpp"

namespace kvferry::cli::bench {
namespace {

class SocketReference final : public Reference {
 public:
  SocketReference(unsigned streams, const std::string& congestion)
      : sockets_(streams, congestion),
        name_(fmt::format("contiguous plain sockets, {}, {}", counted(streams, "stream"),
                          sockets_.congestion())) {}

  std::vector<ReferenceWay> ways(std::uint64_t bytes) override {
    return {{name_, [this, bytes] { return sockets_.copy(bytes); }}};
  }

 private:
  PlainSockets sockets_;
  std::string name_;
};

// The size of a TLS record, and of openssl speed's largest piece.
constexpr std::size_t kPieceBytes = 16'384;

class CipherReference final : public Reference {
 public:
  std::vector<ReferenceWay> ways(std::uint64_t bytes) override {
    return {{"AES-256-GCM of OpenSSL on one core", [this, bytes] { return encrypt(bytes); }}};
  }

 private:
  static void check(int result, const char* what) {
    if (result != 1) throw Error(ErrorCode::resource, fmt::format("OpenSSL: {} failed", what));
  }

  // The keys protect nothing, so they need not be random.
  double encrypt(std::uint64_t bytes) {
    static constexpr std::array<unsigned char, 32> kKey{1, 2, 3};
    static constexpr std::array<unsigned char, 12> kNonce{4, 5, 6};
    check(
        EVP_EncryptInit_ex(context_.get(), EVP_aes_256_gcm(), nullptr, kKey.data(), kNonce.data()),
        "EVP_EncryptInit_ex");
    int got = 0;
    const auto start = std::chrono::steady_clock::now();
    for (std::uint64_t at = 0; at < bytes; at += kPieceBytes) {
      const auto piece = static_cast<int>(std::min<std::uint64_t>(bytes - at, kPieceBytes));
      check(EVP_EncryptUpdate(context_.get(), out_.data(), &got, in_.data(), piece),
            "EVP_EncryptUpdate");
    }
    check(EVP_EncryptFinal_ex(context_.get(), out_.data(), &got), "EVP_EncryptFinal_ex");
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  struct Free {
    void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
  };
  std::unique_ptr<EVP_CIPHER_CTX, Free> context_{EVP_CIPHER_CTX_new()};
  std::vector<unsigned char> in_ = std::vector<unsigned char>(kPieceBytes, 7);
  std::vector<unsigned char> out_ = std::vector<unsigned char>(kPieceBytes + 64);
};

}  // namespace

std::unique_ptr<Reference> make_socket_reference(unsigned streams, const std::string& congestion) {
  return std::make_unique<SocketReference>(streams, congestion);
}

std::unique_ptr<Reference> make_cipher_reference() { return std::make_unique<CipherReference>(); }

}  // namespace kvferry::cli::bench
