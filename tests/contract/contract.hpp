#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "contract/server_process.hpp"
#include "kvferry/kvferry.hpp"
#include "session/test_credentials.hpp"

namespace kvferry::contract {

using Ids = std::vector<std::uint32_t>;
using Reach = ServerProcess::Reach;

struct Pair {
  std::string name, local, remote;
  std::string path = "auto";
  Reach reach = Reach::unix_socket;
  unsigned streams = 0;
  bool checksum = false;
  std::string ucx = {};  // transports
  // What lets the client in: "token" or "certificate"; "plain data": a token, for the control
  // connection alone. Empty: nothing.
  std::string credential = {};
};
inline void PrintTo(const Pair& pair, std::ostream* out) {
  *out << pair.local << "-" << pair.remote;
}

// A peer whose transfers take the path of the pair, unless a test names another.
class PathPeer {
 public:
  PathPeer(Peer peer, Pair pair) : peer_(std::move(peer)), pair_(std::move(pair)) {}
  Transfer pull(const Pool& pool, const Ids& from, const Ids& to, TransferOptions options = {}) {
    return peer_.pull(pool, from, to, with_path(std::move(options)));
  }
  Transfer push(const Pool& pool, const Ids& remote, const Ids& local,
                TransferOptions options = {}) {
    return peer_.push(pool, remote, local, with_path(std::move(options)));
  }
  PreparedTransfer prepare_pull(const Pool& pool, const Ids& from, const Ids& to) {
    return peer_.prepare_pull(pool, from, to, with_path({}));
  }
  PreparedTransfer prepare_push(const Pool& pool, const Ids& remote, const Ids& local) {
    return peer_.prepare_push(pool, remote, local, with_path({}));
  }
  void prepare(const Pool& pool) { peer_.prepare(pool, with_path({})); }
  std::vector<PairExplanation> explain() { return peer_.explain(); }
  bool alive() const { return peer_.alive(); }

 private:
  TransferOptions with_path(TransferOptions options) const {
    if (options.path == "auto") options.path = pair_.path;
    options.streams = pair_.streams;
    options.checksum = pair_.checksum;
    return options;
  }
  Peer peer_;
  Pair pair_;
};

// What every path owes, run for each pair of memories: its tests are in contract_test.cpp, the
// pairs in instances.cpp.
class Contract : public ::testing::TestWithParam<Pair> {
 protected:
  void SetUp() override {
    for (const auto& kind : {GetParam().local, GetParam().remote})
      if (const auto why = why_unavailable(kind)) GTEST_SKIP() << *why;
    if (const auto why = why_no_ucx(GetParam().ucx)) GTEST_SKIP() << *why;
  }

  // A server of `blocks` blocks holding seed 0, and a local pool holding seed 7.
  void meet(const CacheShape& shape, std::uint32_t blocks, bool writable = true) {
    PoolSpec spec{GetParam().remote, shape, blocks, writable};
    if (!GetParam().credential.empty()) files.emplace();
    server.emplace(spec, GetParam().reach, GetParam().ucx, credentials("server"));
    spec.kind = GetParam().local;
    pool.emplace(make_pool(spec));
    fill_whole(*pool, 7);
    NodeOptions options;
    options.ucx.transports = GetParam().ucx;
    options.credentials = credentials("client");
    node.emplace(options);
    node->add(*pool);
    peer.emplace(node->connect(server->address()), GetParam());
  }

  void expect_error(ErrorCode code, const std::string& part, const std::function<void()>& call) {
    try {
      call();
      FAIL() << "no error; expected one that says " << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_THAT(error.what(), ::testing::HasSubstr(part));
    }
    EXPECT_EQ(wrong_bytes(*pool, 7, {}), 0u) << "something was written";
  }

  std::optional<session::TestCredentials> files;
  std::optional<ServerProcess> server;
  std::optional<Pool> pool;
  std::optional<Node> node;
  std::optional<PathPeer> peer;

 private:
  Credentials credentials(const std::string& name) const {
    const std::string& kind = GetParam().credential;
    if (kind.empty()) return {};
    if (kind == "certificate") return files->certificate(name);
    Credentials token;
    token.token_file = files->directory() + "/shared.token";
    if (!std::filesystem::exists(token.token_file)) token = files->token("shared");
    token.plain_data = kind == "plain data";
    return token;
  }
};

}  // namespace kvferry::contract
