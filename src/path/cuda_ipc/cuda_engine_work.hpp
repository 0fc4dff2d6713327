#pragma once

#include <cstdint>
#include <vector>

#include "path/cuda_ipc/choose.hpp"
#include "path/cuda_ipc/cuda_lane.hpp"
#include "path/cuda_ipc/engine_copies.hpp"
#include "plan/plan.hpp"

namespace kvferry::path {

// A plan being posted to a GPU's copy engines, a bounded batch at a time, so that an abort is
// heeded between batches. Not thread-safe: one thread posts.
class EngineWork {
 public:
  // Borrows the plan until all is posted.
  EngineWork(const plan::Plan& plan, EngineCut cut, std::uint32_t streams, Link link);
  EngineWork(const EngineWork&) = delete;
  EngineWork& operator=(const EngineWork&) = delete;

  // Posts the next batch behind what is in the slot's stream; false when nothing is left after it.
  // Requires: the slot's device is current. Throws: Error{resource}.
  bool post_batch(Slot& slot);
  // Whether the batch before the last one has been copied: then another may be posted.
  bool ready(const Slot& slot) const;
  // The plan has moved there.
  void moved(const plan::Plan& plan) noexcept { copies_.moved(plan); }

 private:
  void post(const EngineCopy& copy, cudaStream_t stream);
  void flush_pieces(cudaStream_t stream);

  EngineCopies copies_;
  const std::uint32_t streams_;
  // Many small pieces over a link: one call for all (NVLink: 45-61 GB/s against 20 one by one). On
  // one GPU it is no faster.
  bool batch_pieces_;
  std::vector<void*> targets_;
  std::vector<const void*> sources_;
  std::vector<std::size_t> sizes_;
  std::uint32_t posted_batches_ = 0;
};

}  // namespace kvferry::path
