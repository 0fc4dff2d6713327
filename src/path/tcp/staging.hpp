#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "memory/pool_impl.hpp"
#include "path/tcp/incoming.hpp"
#include "path/tcp/net_threads.hpp"
#include "path/tcp/outgoing.hpp"

namespace kvferry::path::tcp {

// The pinned stages of every GPU that this process moves blocks of: made when first used, used
// again by every transfer, at most kMostStages of kStageBytes a GPU. Thread-safe.
class StagePools;
std::shared_ptr<StagePools> make_stage_pools(std::shared_ptr<NetThreads> threads);
inline constexpr std::uint64_t kStageBytes = wire::kMaxChunkBytes;
inline constexpr unsigned kMostStages = 128;

// How a GPU's bytes get to a socket and back.
struct StagingOptions {
  std::shared_ptr<StagePools> pools;
  const void* holder = nullptr;  // whose they are; stages are shared out among holders
  std::uint32_t max_sms = 0;     // for the copy kernels; 0: as many as help
  unsigned streams = 0;          // that take chunks at once; 0: unknown
  // A stage has become free: streams may go on. From any thread.
  std::function<void()> kick;
  // A chunk was packed: streams that had nothing to send may go on. From any thread.
  std::function<void()> packed;
};

// A transfer's bytes in a pool: straight from and into host memory; a GPU's through stages, packed
// and scattered by the copy kernel while other stages are on the wire. Throws: Error{resource},
// Error{refused}.
std::shared_ptr<Outgoing> make_outgoing(Outgoing::Setup setup,
                                        std::shared_ptr<const PackedRows> rows,
                                        const std::shared_ptr<detail::PoolImpl>& pool,
                                        const StagingOptions& options);
std::shared_ptr<Incoming> make_incoming(Incoming::Setup setup,
                                        std::shared_ptr<const PackedRows> rows,
                                        const std::shared_ptr<detail::PoolImpl>& pool,
                                        const StagingOptions& options);
// For TransferReport::method: "staged"; empty for host memory.
std::string describe_staging(const detail::PoolImpl& pool);

}  // namespace kvferry::path::tcp
