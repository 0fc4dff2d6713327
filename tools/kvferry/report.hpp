#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "geometry.hpp"
#include "kvferry/node.hpp"
#include "kvferry/transfer.hpp"
#include "options.hpp"

// What a client command did, kept while it runs, for the text and the JSON alike.
namespace kvferry::cli {

struct WrongPlace {
  std::string where;  // "moved": a block that was moved; "other": one that must not change
  std::uint32_t layer = 0, block = 0;
  std::uint64_t offset = 0;  // byte within the block
};

struct Verification {
  bool wanted = true;
  std::uint32_t transfers = 0;  // that were compared, right or wrong
  // The blocks that were moved: how many of how many layers in one transfer; bytes compared in all.
  std::uint64_t blocks = 0, layers = 0, bytes = 0, wrong_bytes = 0;
  // What must not have changed: blocks of which at least one layer was compared; bytes in all.
  std::uint64_t other_blocks = 0, other_bytes = 0, other_wrong_bytes = 0;
  std::string other_note;  // what of it could not be compared, and why; empty: nothing
  std::optional<WrongPlace> first;
};

struct RemoteReport {
  std::string peer, address;  // the latter as typed: a name or an address
  RemotePool pool;
  std::vector<PairExplanation> pairs{};
};

struct Failure {
  std::string code;
  int exit_code = 0;
  std::string message;
};

struct RunReport {
  std::string command;
  const PoolCommandOptions* options = nullptr;
  const MoveOptions* move = nullptr;  // of pull and push
  std::optional<Geometry> geometry;
  std::optional<DeviceChoice> device;
  std::vector<RemoteReport> remotes;  // the servers, in the order given
  std::optional<double> prepare_s;
  std::vector<TransferReport> transfers;
  // Of each transfer, the share of each server; empty where there was only one.
  std::vector<std::vector<TransferReport>> shares;
  bool last_is_unverified = false;  // its verification failed or was never finished
  Verification verification;
  std::optional<Failure> failure;

  // Those that ended well: all, or all but the last.
  std::span<const TransferReport> good_transfers() const {
    return std::span(transfers).first(transfers.size() - (last_is_unverified ? 1 : 0));
  }
};

struct Rates {
  double min = 0, median = 0, max = 0;  // GB/s
};
// Requires: at least one transfer.
Rates rates_of(std::span<const TransferReport> transfers);

// The document docs/json.md describes.
std::string to_json(const RunReport& report);

}  // namespace kvferry::cli
