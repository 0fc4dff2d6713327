#include "path/ucx/ucx_path.hpp"

#include <fmt/format.h>

#include "path/ucx/engine.hpp"

namespace kvferry::path {
namespace {

// What stands against any use of UCX with this pair; sets `carriage` where it came to that.
std::string why_not(const detail::PoolImpl& local, const RemoteEnd& remote,
                    std::optional<ucx::Carriage>& carriage) {
  if (!remote.ucx) return "this connection has no part in UCX";
  ucx::Engine& engine = *remote.ucx->engine();
  if (auto why = engine.why_not(); !why.empty()) return why;
  if (auto why = remote.ucx->why_not(); !why.empty()) return why;
  // On one host UCX is not even loaded unless somebody wants it.
  if (!remote.over_network && !engine.takes_software()) return {};
  try {
    if (auto why = engine.why_not(local.device); !why.empty()) return why;
    carriage = ucx::carriage_of(remote.ucx->connection(remote.until)->lanes());
  } catch (const Error& error) {
    return error.what();
  }
  if (carriage->rdma || engine.takes_software()) return {};
  return fmt::format(
      "UCX would reach the peer by {}: not by RDMA; {}. --ucx-transports "
      "(UcxOptions::transports) on both sides takes such transports by name",
      carriage->text, ucx::kSoftwareRisk);
}

}  // namespace

PathVerdict UcxPath::judge(const detail::PoolImpl& local, const RemoteEnd& remote) const {
  PathVerdict verdict;
  verdict.path = name();
  std::optional<ucx::Carriage> carriage;
  verdict.reason = why_not(local, remote, carriage);
  if (!verdict.reason.empty()) return verdict;
  verdict.usable = true;
  verdict.slow = !remote.over_network || !carriage->rdma;
  verdict.reason =
      carriage ? fmt::format("UCX gets and puts by {}", carriage->text) : "RDMA to this very host";
  if (!remote.over_network)
    verdict.reason +=
        "; on one host that is slower than the paths above: taken when asked for by name, or with "
        "--allow-slow";
  else if (!carriage->rdma)
    verdict.reason += "; slower than tcp: taken when asked for by name, or with --allow-slow";
  return verdict;
}

std::unique_ptr<Route> UcxPath::open(const std::shared_ptr<detail::PoolImpl>& local,
                                     RemoteEnd remote) {
  if (!remote.ucx) throw Error(ErrorCode::refused, "this connection has no part in UCX");
  const auto engine = remote.ucx->engine();
  return engine->open(local, std::move(remote));
}

}  // namespace kvferry::path
