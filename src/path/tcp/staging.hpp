#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "memory/pool_impl.hpp"
#include "path/tcp/incoming.hpp"
#include "path/tcp/outgoing.hpp"

namespace kvferry::path::tcp {

// How a GPU's bytes get to a socket and back.
struct StagingOptions {
  std::uint32_t max_sms = 0;  // for the copy kernels; 0: as many as help
  // A stage has become free, or full: streams may go on. From any thread.
  std::function<void()> kick;
};

// A transfer's bytes in a pool: straight from and into host memory; a GPU's through a bounded ring
// of pinned stages, packed and scattered by the copy kernel while other stages are on the wire.
// Throws: Error{resource}, Error{refused} (a GPU pool in a build without CUDA cannot be).
std::shared_ptr<Outgoing> make_outgoing(Outgoing::Setup setup,
                                        std::shared_ptr<const PackedRows> rows,
                                        const std::shared_ptr<detail::PoolImpl>& pool,
                                        const StagingOptions& options);
std::shared_ptr<Incoming> make_incoming(Incoming::Setup setup,
                                        std::shared_ptr<const PackedRows> rows,
                                        const std::shared_ptr<detail::PoolImpl>& pool,
                                        const StagingOptions& options);
// What the stages of a GPU are, for people: "8 stages of 1 MiB"; empty for host memory.
std::string describe_staging(const detail::PoolImpl& pool);

}  // namespace kvferry::path::tcp
