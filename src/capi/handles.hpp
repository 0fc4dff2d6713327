#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kvferry/kvferry.h"
#include "kvferry/kvferry.hpp"

// What the C handles hold: a C++ handle, and texts that a call returns as `const char*`. The C++
// handles share what they need, so that these may be freed in any order.

struct kvferry_error {
  kvferry_code code;
  std::string message;
};

struct kvferry_pool {
  kvferry::Pool pool;
};

struct kvferry_transfer {
  kvferry::Transfer transfer;
};

struct kvferry_node {
  explicit kvferry_node(const kvferry::NodeOptions& options) : node(options) {}
  kvferry::Node node;
};

struct kvferry_peer {
  explicit kvferry_peer(kvferry::Peer connected) : peer(std::move(connected)), name(peer.name()) {}
  kvferry::Peer peer;
  std::string name;
};

struct kvferry_pool_list {
  std::vector<kvferry::RemotePool> pools;
};

struct kvferry_prepared {
  kvferry::PreparedTransfer prepared;
};

struct kvferry_notice {
  kvferry::Notice notice;
};
