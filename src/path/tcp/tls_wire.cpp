#include "path/tcp/tls_wire.hpp"

#include <array>

namespace kvferry::path::tcp {
namespace {

class TlsWire final : public WireSocket {
 public:
  explicit TlsWire(session::DataStream stream) : stream_(std::move(stream)) {}

  std::size_t send(std::span<const iovec> pieces) override {
    std::array<std::span<const std::byte>, 32> spans;
    const std::size_t count = std::min(pieces.size(), spans.size());
    for (std::size_t i = 0; i < count; ++i)
      spans[i] = {static_cast<const std::byte*>(pieces[i].iov_base), pieces[i].iov_len};
    return stream_.tls->write(std::span(spans).first(count));
  }
  // Until there is nothing more: then nothing waits inside.
  std::size_t receive(std::span<const iovec> pieces) override {
    std::size_t total = 0;
    for (const iovec& piece : pieces) {
      for (std::size_t at = 0; at < piece.iov_len;) {
        const std::size_t got =
            stream_.tls->read({static_cast<std::byte*>(piece.iov_base) + at, piece.iov_len - at});
        if (got == 0) return total;
        at += got;
        total += got;
      }
    }
    return total;
  }
  bool flush() override { return stream_.tls->flush(); }
  int fd() const noexcept override { return stream_.socket.get(); }
  std::string name() const override { return "tls"; }

 private:
  session::DataStream stream_;
};

}  // namespace

std::unique_ptr<WireSocket> wire_over(session::DataStream stream) {
  if (stream.tls) return std::make_unique<TlsWire>(std::move(stream));
  return plain_wire(std::move(stream.socket));
}

}  // namespace kvferry::path::tcp
