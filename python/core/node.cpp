#include "kvferry/node.hpp"

#include <poll.h>

#include <atomic>
#include <future>
#include <thread>

#include "bindings.hpp"
#include "deliveries.hpp"
#include "errors.hpp"
#include "gil.hpp"
#include "peer.hpp"

namespace kvferry::python {
namespace {

using Clock = std::chrono::steady_clock;
using NodeRef = std::shared_ptr<Node>;

// Every call holds the node while it runs; close() waits for them, so that it is the one to end it.
class PyNode {
 public:
  PyNode(std::uint64_t number, std::string name, unsigned copy_threads, std::uint32_t max_peers,
         bool log, bool events, Credentials credentials, double peer_silence,
         std::uint32_t max_notices) {
    NodeOptions options;
    options.credentials = std::move(credentials);
    options.peer_silence = to_duration<std::chrono::milliseconds>(peer_silence, "peer_silence");
    options.name = std::move(name);
    options.copy_threads = copy_threads;
    options.max_peers = max_peers;
    options.max_notices = max_notices;
    if (log)
      options.log = [number](LogLevel level, std::string_view text) {
        Deliveries::instance().push(Deliveries::Line{number, level, std::string(text)});
      };
    if (events)
      options.on_event = [number](const PeerEvent& event) {
        Deliveries::instance().push(Deliveries::Event{number, event});
      };
    held_ = std::make_unique<Owned<NodeRef>>(
        without_gil([&] { return std::make_shared<Node>(options); }));
  }

  NodeRef get() const {
    if (held_ == nullptr) throw Error(ErrorCode::invalid_argument, "this Node is closed");
    return **held_;
  }
  bool closed() const noexcept { return held_ == nullptr; }
  void close() {
    if (held_ == nullptr) return;
    const auto last = std::move(held_);  // goes without the GIL
    if (last->inherited()) return;
    const NodeRef& node = **last;
    // Others' calls that wait do so in slices, and a connection in the making ends by its timeout.
    without_gil([&] {
      while (node.use_count() > 1 && !interpreter_ends())
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    std::atomic_thread_fence(std::memory_order_acquire);
  }

 private:
  std::unique_ptr<Owned<NodeRef>> held_;
};

// A connection in the making, by a thread of its own so that the caller hears Ctrl-C meanwhile.
struct Attempt {
  std::mutex mutex;
  bool given_up = false;
  std::promise<Peer> promise;
};

void connect_for(const std::shared_ptr<Attempt>& attempt, const NodeRef& node,
                 const std::string& address, const ConnectOptions& options) {
  try {
    Peer peer = node->connect(address, options);
    std::unique_lock lock(attempt->mutex);
    if (attempt->given_up) {
      lock.unlock();
      peer.close();
    } else {
      attempt->promise.set_value(std::move(peer));
    }
  } catch (...) {
    attempt->promise.set_exception(std::current_exception());
  }
}

PyPeer connect(const PyNode& self, const std::string& address, double timeout, bool insecure,
               std::string server_name) {
  ConnectOptions options;
  options.timeout = to_duration<std::chrono::milliseconds>(timeout, "timeout");
  options.insecure = insecure;
  options.server_name = std::move(server_name);
  const auto attempt = std::make_shared<Attempt>();
  auto future = attempt->promise.get_future();
  std::thread([attempt, node = self.get(), address, options] {
    connect_for(attempt, node, address, options);
  }).detach();
  while (without_gil([&] { return future.wait_for(kSlice); }) != std::future_status::ready) {
    try {
      check_signals();
    } catch (...) {
      std::lock_guard lock(attempt->mutex);
      attempt->given_up = true;
      throw;
    }
  }
  return PyPeer(future.get());
}

nb::tuple to_python(const Notice& n) {
  return nb::make_tuple(n.peer, n.pool, n.text, n.path, to_string(n.direction), n.blocks, n.bytes);
}

// The tags of the transfers that have ended, and the notices that have come.
nb::tuple take_events(const PyNode& self) {
  nb::list tags, notices;
  const NodeRef node = self.get();
  while (const auto completion = node->next_completion()) tags.append(completion->tag);
  while (const auto notice = node->next_notice()) notices.append(to_python(*notice));
  return nb::make_tuple(tags, notices);
}

// Returns when something may have come, at the latest after a slice.
void await_events(const PyNode& self, double seconds) {
  const NodeRef node = self.get();
  const auto most = std::min<std::chrono::milliseconds>(
      to_duration<std::chrono::milliseconds>(seconds, "timeout"), kSlice);
  without_gil([&] {
    pollfd fd{node->event_fd(), POLLIN, 0};
    ::poll(&fd, 1, static_cast<int>(most.count()));
  });
  check_signals();
}

void listen(const PyNode& self, std::string ip, std::uint16_t port, bool tcp,
            std::string socket_path, bool insecure, std::vector<Permission> permissions) {
  ListenOptions options;
  options.permissions = std::move(permissions);
  options.ip = std::move(ip);
  options.port = port;
  options.tcp = tcp;
  options.socket_path = std::move(socket_path);
  options.insecure = insecure;
  const NodeRef node = self.get();
  without_gil([&] { node->listen(options); });
}

nb::list peers_of(const PyNode& self) {
  nb::list out;
  for (Peer& peer : self.get()->peers()) out.append(PyPeer(std::move(peer)));
  return out;
}

}  // namespace

void bind_node(nb::module_& m) {
  nb::class_<Credentials>(m, "Credentials")
      .def("__init__", [](Credentials* self, std::string token_file, std::string certificate,
                          std::string key, std::string authority, bool plain_data) {
        new (self) Credentials{std::move(token_file), std::move(certificate), std::move(key),
                               std::move(authority), plain_data};
      });
  nb::class_<Permission>(m, "Permission")
      .def("__init__", [](Permission* self, std::string credential, bool read, bool write,
                          std::vector<std::string> pools) {
        new (self) Permission{std::move(credential), read, write, std::move(pools)};
      });
  nb::class_<PyNode>(m, "Node")
      .def(nb::init<std::uint64_t, std::string, unsigned, std::uint32_t, bool, bool, Credentials,
                    double, std::uint32_t>())
      .def("add",
           [](const PyNode& n, nb::handle pool) {
             const NodeRef node = n.get();
             const Pool added = pool_from_python(pool);
             without_gil([&] { node->add(added); });
           })
      .def("listen", &listen)
      .def("port", [](const PyNode& n) { return n.get()->port(); })
      .def("connect", &connect)
      .def("peers", &peers_of)
      .def("event_fd", [](const PyNode& n) { return n.get()->event_fd(); })
      .def("take_events", &take_events)
      .def("await_events", &await_events)
      .def("closed", &PyNode::closed)
      .def("close", &PyNode::close);
}

}  // namespace kvferry::python
