#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/servers.hpp"
#include "kvferry/node.hpp"
#include "pattern/pattern.hpp"

namespace kvferry::cli::bench {

// "host" or "cuda:N". Requires: one of the two.
Device device_from(std::string_view name);

struct SessionSpec {
  ServerSpec server;
  std::string device;  // of the client's pool
  std::string layout = "joint";
  std::uint32_t blocks = 0;  // of the client's pool
};

// How the client's node copies.
struct ClientTuning {
  unsigned copy_threads = 0;
  CopyCosts costs{};
  NetworkOptions network{};
  UcxOptions ucx{};
  Credentials credentials{};
};

// The client of one server, through the public API: a pool, a node, a connection. The server's pool
// holds its fill whenever no push of ours runs or is being checked, so every transfer can be
// checked to the byte. One thread.
class Session {
 public:
  using Log = std::function<void(LogLevel, std::string_view)>;
  // Throws: as Pool::allocate, Pool::attach, Node::connect.
  Session(const SessionSpec& spec, const std::string& address, const ClientTuning& tuning, Log log);

  const SessionSpec& spec() const noexcept { return spec_; }
  const Pool& pool() const noexcept { return pool_; }
  const Peer& peer() const noexcept { return peer_; }

  struct Ids {
    std::vector<std::uint32_t> remote, local;
  };
  // Different places on the two sides, the same ones for the same counts.
  Ids ids(std::uint32_t count, bool scattered) const;

  // What to move, and how.
  struct Move {
    Direction direction = Direction::pull;
    Ids ids;
    TransferOptions options{};
    std::optional<PreparedTransfer> prepared{};  // posted instead
  };
  // Throws: as Peer::prepare_pull.
  void prepare(Move& move) const;
  // Posts one transfer. Throws: as Peer::pull.
  Transfer post(const Move& move) const;
  // One transfer, and every byte of it compared: a pull with what the server holds, a push by
  // pulling the server's whole pool back. Nothing else may have changed, on either side. After a
  // push the server holds its fill again, and the same push leaves it at that.
  // Throws: Error{failed} saying where the first wrong byte is, and as Peer::pull.
  TransferReport verify(const Move& move);

 private:
  std::vector<pattern::BlockSpec> fill_local();
  void check_local(const std::vector<pattern::BlockSpec>& moved,
                   const std::vector<pattern::BlockSpec>& others, LayerRange layers,
                   std::string_view what) const;
  TransferReport verify_pull(const Move& move);
  TransferReport verify_push(const Move& move);

  SessionSpec spec_;
  Pool pool_;
  Node node_;
  Peer peer_;
  std::uint64_t seed_ = 0;  // of the last fill of the local pool; the server's is 0
};

}  // namespace kvferry::cli::bench
