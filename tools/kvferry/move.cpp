#include "move.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "kvferry/error.hpp"
#include "option_error.hpp"
#include "path_lines.hpp"
#include "units.hpp"

namespace kvferry::cli {
namespace {

CopyMethod parse_copy(const std::string& text) {
  if (text == "kernel") return CopyMethod::kernel;
  if (text == "engine") return CopyMethod::engine;
  return CopyMethod::automatic;
}

LayerRange resolve_layers(const std::string& text, const CacheShape& shape) {
  if (text.empty()) return {0, shape.layers};
  const LayerRange range = naming_option("--layer-range", [&] { return parse_layer_range(text); });
  if (range.end > shape.layers) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--layer-range {} ends beyond the last of {} layers; B is at most {}",
                            text, shape.layers, shape.layers));
  }
  return range;
}

ErrorCode code_of(TransferState state) {
  switch (state) {
    case TransferState::deadline: return ErrorCode::deadline;
    case TransferState::peer_died: return ErrorCode::unreachable;
    default: return ErrorCode::failed;
  }
}

[[noreturn]] void throw_ended(const Transfer& transfer, const std::string& what,
                              const Interrupts& interrupts) {
  const TransferState state = transfer.poll();
  if (state == TransferState::cancelled && interrupts.requested()) {
    throw Error(ErrorCode::cancelled,
                fmt::format("interrupted by {}: {} was cancelled; its blocks may be partly written",
                            interrupts.name(), what));
  }
  throw Error(code_of(state), fmt::format("{}: {}", what, printable(transfer.error())));
}

void print_transfer(const MoveRequest& request, std::uint32_t round, const TransferReport& report,
                    Output& out) {
  const auto width = fmt::formatted_size("{}", request.rounds);
  out.line("  #{:<{}}  {:>10}  {:>8}  {:>10}  {} ({})", round, width, format_bytes(report.bytes),
           format_seconds(report.total_s), format_rate(gb_per_s(report.bytes, report.total_s)),
           report.path, report.method);
}

}  // namespace

MoveRequest check_request(const MoveOptions& options, Direction direction) {
  MoveRequest request;
  request.direction = direction;
  request.blocks = naming_option("--blocks", [&] { return parse_blocks(options.blocks); });
  request.into = naming_option("--into", [&] { return parse_into(options.into); });
  request.rounds = options.count;
  request.geometry = resolve_geometry(options.geometry);
  const CacheShape& shape = request.geometry.shape;
  request.block_count =
      wanted_blocks(request.blocks, request.into,
                    shape.blocks_for_tokens(options.input_tokens.value_or(kDefaultInputTokens)),
                    options.input_tokens.has_value());
  TransferOptions& transfer = request.transfer;
  transfer.layers = resolve_layers(options.layer_range, shape);
  transfer.path = options.path;
  transfer.allow_slow = options.allow_slow;
  transfer.copy = parse_copy(options.copy);
  transfer.max_sms = options.sms;
  transfer.remote_pool = kPoolName;
  if (!options.deadline.empty()) {
    transfer.deadline =
        naming_option("--deadline", [&] { return parse_duration(options.deadline); });
  }
  if (request.into.kind != IdChoice::Kind::list && request.block_count > request.geometry.blocks) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("the transfer needs {} blocks, the local pool has {}; lower "
                            "--input-tokens or raise --available-memory",
                            request.block_count, request.geometry.blocks));
  }
  return request;
}

IdLists request_ids(const MoveRequest& request, const Client& client) {
  return resolve_ids(request.blocks, request.into, request.block_count,
                     {client.remote.blocks, client.pool.blocks()}, request.direction);
}

void prepare(const MoveRequest& request, const Client& client, Context& context) {
  const auto start = std::chrono::steady_clock::now();
  client.peer.prepare(client.pool, request.transfer);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  context.report.prepare_s = took.count();
  print_chosen_path(context.report.pairs, request.transfer.path, context.out);
  context.out.field("mapped", fmt::format("in {}", format_seconds(took.count())));
}

void run_rounds(const MoveRequest& request, const Client& client, const IdLists& ids,
                Verifier* verifier, Context& context) {
  if (verifier != nullptr) verifier->begin();
  for (std::uint32_t round = 1; round <= request.rounds; ++round) {
    if (verifier != nullptr) verifier->before(round);
    context.interrupts.throw_if_requested();
    const std::string what = fmt::format("transfer {} of {}", round, request.rounds);
    TransferReport report = run_transfer(client.peer, client.pool, ids, request.direction,
                                         request.transfer, what, context.interrupts);
    print_transfer(request, round, report, context.out);
    context.report.transfers.push_back(std::move(report));
    if (verifier != nullptr) verifier->after(round);
  }
  if (verifier != nullptr) verifier->finish();
  const Rates rates = rates_of(context.report.transfers);
  context.out.field(
      "summary", fmt::format("min {}, median {}, max {} over {} transfer{}", format_rate(rates.min),
                             format_rate(rates.median), format_rate(rates.max), request.rounds,
                             request.rounds == 1 ? "" : "s"));
}

TransferReport run_transfer(const Peer& peer, const Pool& pool, const IdLists& ids,
                            Direction direction, const TransferOptions& options,
                            const std::string& what, const Interrupts& interrupts) {
  const Transfer transfer = direction == Direction::pull
                                ? peer.pull(pool, ids.remote, ids.local, options)
                                : peer.push(pool, ids.remote, ids.local, options);
  // wait_for spins and sleeps as the path knows best; the timeout is only how soon Ctrl-C is heard.
  while (!transfer.wait_for(std::chrono::milliseconds(50))) {
    if (interrupts.requested()) transfer.cancel();
  }
  if (transfer.poll() != TransferState::done) throw_ended(transfer, what, interrupts);
  return transfer.report();
}

}  // namespace kvferry::cli
