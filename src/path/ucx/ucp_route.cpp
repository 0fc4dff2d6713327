#include "path/ucx/ucp_route.hpp"

#include <fmt/format.h>

#include "path/plain_prepared.hpp"
#include "path/ucx/ucp_endpoint.hpp"
#include "path/ucx/ucp_job.hpp"

namespace kvferry::path::ucx {
namespace {

// Not process 0: what a plan takes for this process's memory.
constexpr std::uint64_t kElsewhere = ~std::uint64_t{0};

plan::BlockMap map_of(const wire::UcxGrant& grant, const RemoteEnd& remote) {
  plan::BlockMap map;
  map.parts = grant.parts;
  map.row_bytes = remote.shape.block_bytes() / grant.parts;
  map.block_stride = grant.block_stride;
  map.blocks = remote.blocks;
  map.address_space = kElsewhere;
  for (const auto& plane : grant.planes)
    map.plane_base.push_back(grant.regions[plane.region].base + plane.offset);
  return map;
}

}  // namespace

UcpConnection::~UcpConnection() {
  engine_->post([endpoint = std::move(endpoint_)] {
    if (endpoint) endpoint->fail("the connection to the peer is over");
  });
}

std::vector<Lane> UcpConnection::lanes() {
  return engine_->call([this] { return endpoint()->lanes(); });
}

std::shared_ptr<Endpoint> UcpConnection::endpoint() {
  if (!endpoint_ || !endpoint_->usable()) endpoint_ = engine_->make_endpoint(address_);
  return endpoint_;
}

Reach::Reach(Setup setup) : setup_(std::move(setup)) {
  for (const auto& region : setup_.grant.regions) remote_.add(region.base, region.bytes);
}

Reach::~Reach() { setup_.link->close(setup_.grant.pool, setup_.grant.generation); }

std::shared_ptr<RemoteKeys> Reach::keys_for(const std::shared_ptr<Endpoint>& endpoint) {
  if (keys_ && keys_->is_for(endpoint)) return keys_;
  keys_ = std::make_shared<RemoteKeys>(setup_.engine, endpoint, setup_.grant.regions);
  setup_.engine->remember(keys_);
  return keys_;
}

UcpRoute::UcpRoute(Reach::Setup setup, const detail::PoolImpl& local, const RemoteEnd& remote)
    : reach_(std::make_shared<Reach>(std::move(setup))),
      local_map_(local.block_map()),
      remote_map_(map_of(reach_->grant(), remote)),
      writable_(remote.writable) {}

void UcpRoute::check(const JobOptions& options) const {
  if (options.stream)
    throw Error(ErrorCode::invalid_argument,
                "stream: path ucx cannot order a transfer after work of a CUDA stream; synchronise "
                "the stream first, or use cuda_ipc");
  if (options.copy != CopyMethod::automatic)
    throw Error(ErrorCode::invalid_argument,
                "copy (--copy): over ucx the network card copies, neither kernel nor engine; use "
                "auto");
  if (options.direction == Direction::push && !writable_)
    throw Error(ErrorCode::refused,
                "push: the remote pool is not writable; its owner must create it writable");
}

std::shared_ptr<Job> UcpRoute::start(plan::Plan& plan, const JobOptions& options,
                                     std::shared_ptr<JobObserver> observer) {
  check(options);
  return UcpJob::start(std::move(plan), reach_, options.direction, std::move(observer));
}

std::unique_ptr<PreparedCopy> UcpRoute::prepare(plan::Plan plan, const JobOptions& options) {
  check(options);
  return plain_prepared(
      [this, plan = std::move(plan), options](std::shared_ptr<JobObserver> observer, const auto&) {
        plan::Plan once = plan;
        return start(once, options, std::move(observer));
      },
      "a CUDA graph cannot post to a network card over path ucx; post() the transfer, or use "
      "cuda_ipc");
}

std::shared_ptr<Connection> UcpEngine::connect(std::vector<std::byte> address) {
  return std::make_shared<UcpConnection>(shared_from_this(), std::move(address));
}

std::unique_ptr<Route> UcpEngine::open(const std::shared_ptr<detail::PoolImpl>& local,
                                       RemoteEnd remote) {
  Reach::Setup setup;
  setup.engine = shared_from_this();
  setup.link = remote.ucx;
  setup.connection = std::static_pointer_cast<UcpConnection>(remote.ucx->connection(remote.until));
  const auto carriage = carriage_of(setup.connection->lanes());
  if (!carriage.rdma && !takes_software())
    throw Error(ErrorCode::refused,
                fmt::format("UCX would reach the peer by {}: {}", carriage.text, kSoftwareRisk));
  setup.registration = std::static_pointer_cast<UcpRegistration>(enrol(local));
  setup.device = local->device;
  setup.grant =
      remote.ucx->open(remote.offer.pool, remote.offer.generation, remote.writable, remote.until);
  return std::make_unique<UcpRoute>(std::move(setup), *local, remote);
}

}  // namespace kvferry::path::ucx
