#include "path/tcp/tcp_path.hpp"

#include <fmt/format.h>

#include "path/tcp/data_link.hpp"
#include "path/tcp/tcp_route.hpp"

namespace kvferry::path {

PathVerdict TcpPath::judge(const detail::PoolImpl& local, const RemoteEnd& remote) const {
  PathVerdict verdict;
  verdict.path = name();
  verdict.reason =
      remote.data ? remote.data->why_not(remote.until) : "no data streams in this connection";
  if (!verdict.reason.empty()) return verdict;
  verdict.usable = true;
  verdict.slow = !remote.over_network;
  verdict.reason = "the owner sends and takes blocks over TCP streams";
  if (local.device.is_cuda()) verdict.reason += ", through pinned host memory";
  if (!remote.over_network)
    verdict.reason +=
        "; on one host that is slower than the paths above: taken when asked for by name, or with "
        "--allow-slow";
  return verdict;
}

std::unique_ptr<Route> TcpPath::open(const std::shared_ptr<detail::PoolImpl>& local,
                                     RemoteEnd remote) {
  if (!remote.data) throw Error(ErrorCode::refused, "no data streams in this connection");
  return std::make_unique<tcp::TcpRoute>(local, std::move(remote));
}

}  // namespace kvferry::path
