#include "move.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <stdexcept>

#include "kvferry/error.hpp"
#include "kvferry/transfer_group.hpp"
#include "option_error.hpp"
#include "path_lines.hpp"
#include "servers.hpp"
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

[[noreturn]] void throw_ended(const Transfer& transfer, const std::string& what,
                              const Interrupts& interrupts) {
  if (transfer.poll() == TransferState::cancelled && interrupts.requested()) {
    throw Error(ErrorCode::cancelled,
                fmt::format("interrupted by {}: {} was cancelled; its blocks may be partly written",
                            interrupts.name(), what));
  }
  try {
    transfer.wait();
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", what, printable(error.what())), error.where());
  }
  throw std::logic_error("a transfer that was done is said to have failed");
}

void print_transfer(const MoveRequest& request, std::uint32_t round, const TransferReport& report,
                    Output& out) {
  const auto width = fmt::formatted_size("{}", request.rounds);
  out.line("  #{:<{}}  {:>10}  {:>8}  {:>10}  {} ({})", round, width, format_bytes(report.bytes),
           format_seconds(report.total_s), format_rate(gb_per_s(report.bytes, report.total_s)),
           report.path, report.method);
}

void print_summary(const RunReport& report, Output& out) {
  const auto good = report.good_transfers();
  if (good.empty()) return;
  const Rates rates = rates_of(good);
  out.field("summary", fmt::format("min {}, median {}, max {} over {}", format_rate(rates.min),
                                   format_rate(rates.median), format_rate(rates.max),
                                   counted(good.size(), "transfer")));
}

void print_shares(const Client& client, const std::vector<TransferReport>& shares, Output& out) {
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const TransferReport& share = shares[i];
    out.line("      {}: {} ({}) in {}, {}, {}", printable(client.servers[i].label),
             counted(share.blocks, "block"), format_bytes(share.bytes),
             format_seconds(share.total_s), format_rate(gb_per_s(share.bytes, share.total_s)),
             share.path);
  }
}

// The ids of one server's share.
IdLists ids_of(const IdLists& ids, const Share& share) {
  const auto part = [&](const std::vector<std::uint32_t>& all) {
    return std::vector(all.begin() + static_cast<std::ptrdiff_t>(share.begin),
                       all.begin() + static_cast<std::ptrdiff_t>(share.end));
  };
  return {part(ids.remote), part(ids.local)};
}

// Ends what was posted before something went wrong: the pool is not to be written any more.
void give_up(TransferGroup& group) {
  group.cancel();
  while (!group.wait_for(std::chrono::seconds(1))) {
  }
}

void wait_for_all(TransferGroup& group, const Client& client, const std::string& what,
                  const Interrupts& interrupts) {
  while (!group.wait_for(std::chrono::milliseconds(50))) {
    if (interrupts.requested()) group.cancel();
  }
  const auto failed = group.first_failed();
  if (!failed) return;
  throw_ended(group.parts()[*failed],
              fmt::format("{}, from {}", what, printable(client.servers[*failed].label)),
              interrupts);
}

// One pull from several servers: each sends its share of the blocks.
TransferReport run_gather(const Client& client, const IdLists& ids, const TransferOptions& options,
                          const std::string& what, const Interrupts& interrupts,
                          std::vector<TransferReport>& shares) {
  const std::size_t count = client.servers.size();
  TransferGroup group;
  for (std::size_t i = 0; i < count; ++i) {
    const Server& server = client.servers[i];
    const IdLists part = ids_of(ids, share_of(i, count, ids.remote.size()));
    try {
      group.add(server.peer.pull(client.pool, part.remote, part.local, options));
    } catch (const Error& error) {
      give_up(group);
      throw Error(error.code(),
                  fmt::format("{}, from {}: {}", what, printable(server.label), error.what()),
                  error.where());
    }
  }
  wait_for_all(group, client, what, interrupts);
  for (const Transfer& part : group.parts()) shares.push_back(part.report());
  return group.report();
}

void run_round(const MoveRequest& request, const Client& client, const IdLists& ids,
               std::uint32_t round, Verifier* verifier, Context& context) {
  if (verifier != nullptr) verifier->before(round);
  context.interrupts.throw_if_requested();
  const std::string what = fmt::format("transfer {} of {}", round, request.rounds);
  RunReport& run = context.report;
  std::vector<TransferReport> shares;
  TransferReport report =
      client.servers.size() == 1
          ? run_transfer(client.server().peer, client.pool, ids, request.direction,
                         request.transfer, what, context.interrupts)
          : run_gather(client, ids, request.transfer, what, context.interrupts, shares);
  print_transfer(request, round, report, context.out);
  print_shares(client, shares, context.out);
  run.transfers.push_back(std::move(report));
  if (!shares.empty()) run.shares.push_back(std::move(shares));
  // Until it is verified, the last transfer is not good.
  run.last_is_unverified = verifier != nullptr;
  if (verifier != nullptr) verifier->after(round);
  run.last_is_unverified = false;
}

// Said of each path chosen that knows no streams, rates and the like.
void note_options_for_tcp(const MoveRequest& request, Context& context) {
  if (request.for_tcp.empty() || request.transfer.path != "auto") return;
  std::set<std::string> paths;
  for (const RemoteReport& remote : context.report.remotes) {
    for (const PairExplanation& pair : remote.pairs)
      if (pair.local_pool == kPoolName && pair.chosen != "tcp") paths.insert(pair.chosen);
  }
  for (const std::string& path : paths)
    context.out.line("note: {} {} no effect on {} (path tcp only)",
                     fmt::join(request.for_tcp, ", "), request.for_tcp.size() == 1 ? "has" : "have",
                     path);
}

}  // namespace

MoveRequest check_request(const MoveOptions& options, Direction direction) {
  MoveRequest request;
  request.direction = direction;
  request.rounds = options.count;
  request.geometry = resolve_geometry(options.geometry);
  const std::uint32_t blocks = request.geometry.blocks;
  request.blocks = naming_option("--blocks", [&] { return parse_blocks(options.blocks); });
  request.into = naming_option("--into", [&] { return parse_into(options.into, blocks); });
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
  apply(options.network, transfer);
  request.for_tcp = given_for_tcp(options.network);
  if (!request.for_tcp.empty() && options.path != "auto" && options.path != "tcp")
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: path tcp only, and --path says {}; leave out one of them",
                            fmt::join(request.for_tcp, ", "), options.path));
  if (!options.deadline.empty()) {
    transfer.deadline =
        naming_option("--deadline", [&] { return parse_duration(options.deadline); });
  }
  const bool listed = request.blocks.kind == IdChoice::Kind::list;
  if (request.into.kind != IdChoice::Kind::list && request.block_count > blocks) {
    if (listed) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("--blocks names {} ids, the local pool has {} blocks (0 to {}); name "
                              "fewer or raise --available-memory",
                              request.block_count, blocks, blocks - 1));
    }
    throw Error(ErrorCode::invalid_argument,
                fmt::format("the transfer needs {} blocks, the local pool has {}; lower "
                            "--input-tokens or raise --available-memory",
                            request.block_count, blocks));
  }
  return request;
}

IdLists request_ids(const MoveRequest& request, const Client& client) {
  if (request.block_count < client.servers.size())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} cannot be split among {} servers; name fewer servers",
                            counted(request.block_count, "block"), client.servers.size()));
  return resolve_ids(request.blocks, request.into, request.block_count,
                     {client.remote_blocks(), client.pool.blocks()}, request.direction);
}

void prepare(const MoveRequest& request, const Client& client, Context& context) {
  const auto start = std::chrono::steady_clock::now();
  if (request.transfer.max_sms > 0 && !client.pool.device().is_cuda()) {
    context.out.line("note: --sms has no effect on host memory");
  }
  try {
    for (const Server& server : client.servers) server.peer.prepare(client.pool, request.transfer);
  } catch (const Error& error) {
    // The library's own patience with a silent peer, not the user's deadline.
    if (error.code() != ErrorCode::deadline) throw;
    throw Error(ErrorCode::unreachable, error.what(), error.where());
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  context.report.prepare_s = took.count();
  for (const RemoteReport& remote : context.report.remotes)
    print_chosen_path(remote.pairs, request.transfer.path, context.out);
  note_options_for_tcp(request, context);
  context.out.field("mapped", fmt::format("in {}", format_seconds(took.count())));
}

void run_rounds(const MoveRequest& request, const Client& client, const IdLists& ids,
                Verifier* verifier, Context& context) {
  if (verifier != nullptr) verifier->begin();
  try {
    for (std::uint32_t round = 1; round <= request.rounds; ++round) {
      run_round(request, client, ids, round, verifier, context);
    }
    if (verifier != nullptr) verifier->finish();
  } catch (...) {
    print_summary(context.report, context.out);
    if (request.rounds > 1) {
      context.out.line("  {} of {} transfers done", context.report.good_transfers().size(),
                       request.rounds);
    }
    throw;
  }
  print_summary(context.report, context.out);
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
