#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client.hpp"
#include "context.hpp"
#include "ids.hpp"
#include "options.hpp"

// What pull and push share: everything but how the result is verified.
namespace kvferry::cli {

// The options of a move that can be checked before anything is allocated.
struct MoveRequest {
  Direction direction = Direction::pull;
  Geometry geometry;
  IdChoice blocks, into;
  std::uint64_t block_count = 0;  // of one transfer
  std::uint32_t rounds = 1;
  TransferOptions transfer;
  std::vector<std::string> for_tcp;  // the options given that other paths ignore

  std::uint32_t layers() const { return transfer.layers.end - transfer.layers.begin; }
};
// Throws: Error{invalid_argument} naming the option.
MoveRequest check_request(const MoveOptions& options, Direction direction);

// How one command checks its transfers. Called in this order, all outside the timing.
class Verifier {
 public:
  virtual ~Verifier() = default;
  virtual void begin() = 0;
  virtual void before(std::uint32_t round) = 0;
  // Throws: Error{failed} naming the first wrong byte.
  virtual void after(std::uint32_t round) = 0;
  virtual void finish() = 0;
};

// The ids of the request in these two pools. Throws: Error{invalid_argument}.
IdLists request_ids(const MoveRequest& request, const Client& client);
// Maps the remote pool, and says which path transfers take and why no faster one.
void prepare(const MoveRequest& request, const Client& client, Context& context);
// Runs the transfers, one after another, and prints each; `verifier` may be null. Throws: Error of
// the code the transfer ended with; Error{cancelled} when interrupted.
void run_rounds(const MoveRequest& request, const Client& client, const IdLists& ids,
                Verifier* verifier, Context& context);
// Posts one transfer and waits for it, with an ear for Ctrl-C. `what` names it in errors.
TransferReport run_transfer(const Peer& peer, const Pool& pool, const IdLists& ids,
                            Direction direction, const TransferOptions& options,
                            const std::string& what, const Interrupts& interrupts);

}  // namespace kvferry::cli
