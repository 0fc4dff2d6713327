// Without CUDA every pool is host memory.
#include "path/tcp/staging.hpp"

namespace kvferry::path::tcp {

class StagePools {};

std::shared_ptr<StagePools> make_stage_pools(std::shared_ptr<NetThreads>) {
  return std::make_shared<StagePools>();
}

std::shared_ptr<Outgoing> make_outgoing(Outgoing::Setup setup,
                                        std::shared_ptr<const PackedRows> rows,
                                        const std::shared_ptr<detail::PoolImpl>& pool,
                                        const StagingOptions&) {
  return std::make_shared<HostOutgoing>(std::move(setup), std::move(rows), pool);
}

std::shared_ptr<Incoming> make_incoming(Incoming::Setup setup,
                                        std::shared_ptr<const PackedRows> rows,
                                        const std::shared_ptr<detail::PoolImpl>& pool,
                                        const StagingOptions&) {
  return std::make_shared<HostIncoming>(std::move(setup), std::move(rows), pool);
}

std::string describe_staging(const detail::PoolImpl&) { return {}; }

}  // namespace kvferry::path::tcp
