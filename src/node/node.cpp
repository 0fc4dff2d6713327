#include "kvferry/node.hpp"

#include "node/node_impl.hpp"
#include "node/peer_impl.hpp"

namespace kvferry {

Node::Node(const NodeOptions& options) : state_(std::make_shared<detail::NodeImpl>(options)) {
  state_->start();
}

Node::~Node() { state_->shutdown(); }

void Node::add(const Pool& pool) { state_->add(pool); }
void Node::listen(const ListenOptions& options) { state_->listen(options); }
std::uint16_t Node::port() const noexcept { return state_->port(); }

Peer Node::connect(std::string_view address, std::chrono::milliseconds timeout) {
  ConnectOptions options;
  options.timeout = timeout;
  return Peer(state_->connect(address, options));
}

Peer Node::connect(std::string_view address, const ConnectOptions& options) {
  return Peer(state_->connect(address, options));
}

std::vector<Peer> Node::peers() const {
  std::vector<Peer> peers;
  for (auto& peer : state_->peers()) peers.emplace_back(std::move(peer));
  return peers;
}

int Node::event_fd() const noexcept { return state_->events().fd(); }
std::optional<Completion> Node::next_completion() { return state_->events().next_completion(); }
std::optional<Notice> Node::next_notice() { return state_->events().next_notice(); }

std::string Peer::name() const { return state_->name(); }
std::vector<RemotePool> Peer::pools() const { return state_->pools(); }
bool Peer::alive() const noexcept { return state_->alive(); }

Transfer Peer::pull(const Pool& local, std::span<const std::uint32_t> remote_ids,
                    std::span<const std::uint32_t> local_ids,
                    const TransferOptions& options) const {
  return Transfer(state_->start({Direction::pull, remote_ids, local_ids}, local, options));
}

Transfer Peer::push(const Pool& local, std::span<const std::uint32_t> remote_ids,
                    std::span<const std::uint32_t> local_ids,
                    const TransferOptions& options) const {
  return Transfer(state_->start({Direction::push, remote_ids, local_ids}, local, options));
}

PreparedTransfer Peer::prepare_pull(const Pool& local, std::span<const std::uint32_t> remote_ids,
                                    std::span<const std::uint32_t> local_ids,
                                    const TransferOptions& options) const {
  return PreparedTransfer(
      state_->prepare({Direction::pull, remote_ids, local_ids}, local, options));
}

PreparedTransfer Peer::prepare_push(const Pool& local, std::span<const std::uint32_t> remote_ids,
                                    std::span<const std::uint32_t> local_ids,
                                    const TransferOptions& options) const {
  return PreparedTransfer(
      state_->prepare({Direction::push, remote_ids, local_ids}, local, options));
}

Transfer PreparedTransfer::post() const { return Transfer(state_->setup().peer->start(*state_)); }

void PreparedTransfer::capture(CudaStream stream) const {
  state_->setup().peer->capture(state_, stream);
}

const volatile std::uint32_t* PreparedTransfer::status_word() const noexcept {
  return state_->copy().status_word();
}

void Peer::prepare(const Pool& local, const TransferOptions& options) const {
  state_->prepare(local, options);
}

std::vector<PairExplanation> Peer::explain() const { return state_->explain(); }
void Peer::close() const noexcept { state_->close(); }

}  // namespace kvferry
