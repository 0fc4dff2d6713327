#include "session/tls_bio.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <memory>

#include "kvferry/error.hpp"

namespace kvferry::session {
namespace {

SocketBio& ends_of(BIO* bio) { return *static_cast<SocketBio*>(BIO_get_data(bio)); }

int write(BIO* bio, const char* bytes, int count) {
  auto& out = *ends_of(bio).out;
  const auto* const from = reinterpret_cast<const std::byte*>(bytes);
  out.insert(out.end(), from, from + count);
  return count;
}

int read(BIO* bio, char* bytes, int count) {
  BIO_clear_retry_flags(bio);
  const SocketBio& ends = ends_of(bio);
  const ssize_t got = ::recv(ends.socket, bytes, static_cast<std::size_t>(count), MSG_DONTWAIT);
  if (got >= 0) return static_cast<int>(got);
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
    BIO_set_retry_read(bio);
  } else {
    *ends.io_error = errno;
  }
  return -1;
}

long control(BIO*, int command, long, void*) {
  // Nothing is buffered below us; everything else is not for us.
  return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0;
}

int destroy(BIO* bio) {
  delete static_cast<SocketBio*>(BIO_get_data(bio));
  BIO_set_data(bio, nullptr);
  return 1;
}

BIO_METHOD* make_method() {
  BIO_METHOD* const method =
      BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "kvferry socket");
  if (method == nullptr) throw Error(ErrorCode::resource, "TLS: out of memory");
  BIO_meth_set_write(method, write);
  BIO_meth_set_read(method, read);
  BIO_meth_set_ctrl(method, control);
  BIO_meth_set_destroy(method, destroy);
  return method;
}

}  // namespace

BIO* make_socket_bio(const SocketBio& ends) {
  // One for the process, as long as it runs: connections may outlive whoever made the first.
  static BIO_METHOD* const method = make_method();
  BIO* const bio = BIO_new(method);
  if (bio == nullptr) throw Error(ErrorCode::resource, "TLS: out of memory");
  BIO_set_data(bio, std::make_unique<SocketBio>(ends).release());
  BIO_set_init(bio, 1);
  return bio;
}

}  // namespace kvferry::session
