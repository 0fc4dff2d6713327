#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kvferry/shape.hpp"
#include "kvferry/transfer.hpp"

// What the processes of a benchmark with many clients are told and what they answer: lines of JSON.
namespace kvferry::cli::bench {

// The first line a worker reads.
struct WorkerSpec {
  std::string device;                  // of the clients' pools
  std::vector<std::string> addresses;  // of the servers; a transfer takes equal parts from each
  CacheShape shape{};
  std::uint32_t server_blocks = 0, pool_blocks = 0;
  std::uint32_t moved = 0;               // blocks of a transfer
  std::uint32_t first = 0, clients = 1;  // numbers of its clients: first, first + 1, ...
  Direction direction = Direction::pull;
  // Blocks of the server this worker may touch: [begin, end).
  std::uint32_t begin = 0, end = 0;
  friend bool operator==(const WorkerSpec&, const WorkerSpec&) = default;
};
// One line, with its line break.
std::string to_line(const WorkerSpec& spec);
// Throws: Error{invalid_argument} naming the field.
WorkerSpec parse_worker_spec(std::string_view line);

// Every further line: the clients with a number below `active` move blocks from `start_ns`
// (CLOCK_MONOTONIC, which all processes share) on for `seconds`, from the first `servers` servers.
struct Round {
  std::uint32_t active = 0, servers = 1;
  std::int64_t start_ns = 0;
  double seconds = 0;
  friend bool operator==(const Round&, const Round&) = default;
};
std::string to_line(const Round& round);
Round parse_round(std::string_view line);

// What a worker says: once ready (verified: how it copied), then after each round.
struct WorkerAnswer {
  std::string error;   // empty: none
  int code = 0;        // its ErrorCode; 0: none
  std::string method;  // of the first verified transfer
  std::uint64_t bytes = 0;
  std::int64_t end_ns = 0;  // of its last transfer
  friend bool operator==(const WorkerAnswer&, const WorkerAnswer&) = default;
};
std::string to_line(const WorkerAnswer& answer);
// Throws: Error{invalid_argument}.
WorkerAnswer parse_answer(std::string_view line);

}  // namespace kvferry::cli::bench
