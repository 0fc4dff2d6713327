#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "path/cuda_ipc/choose.hpp"
#include "path/cuda_ipc/cuda_host_pin.hpp"
#include "path/cuda_ipc/cuda_job.hpp"
#include "path/cuda_ipc/cuda_lane.hpp"
#include "path/path.hpp"

namespace kvferry::path {

// One end of a pair as the GPU that copies reaches it, and what keeps it reachable.
struct MappedEnd {
  // Released last to first: a pin before the mapping it is on.
  std::shared_ptr<detail::PoolImpl> pool;                // ours
  std::vector<std::shared_ptr<memory::Region>> regions;  // of another pool of this process
  std::vector<std::shared_ptr<memory::Mapping>> mappings;
  std::vector<HostPin> pins;
  plan::BlockMap map;
};

// A pair of pools with both ends addressable from one GPU.
class CudaRoute final : public Route {
 public:
  struct Setup {
    std::shared_ptr<Lane> lane;
    Link link = Link::same_gpu;
    bool planes_together = false;  // see cut_for_engine
    CopyCosts costs{};
  };
  CudaRoute(Setup setup, MappedEnd local, MappedEnd remote);
  ~CudaRoute() override;

  const plan::BlockMap& remote() const noexcept override { return ends_->remote.map; }
  const plan::BlockMap& local() const noexcept override { return ends_->local.map; }
  std::shared_ptr<Job> start(plan::Plan& plan, const JobOptions& options,
                             std::shared_ptr<JobObserver> observer) override;
  std::unique_ptr<PreparedCopy> prepare(plan::Plan plan, const JobOptions& options) override;

 private:
  struct Ends {
    Ends(std::shared_ptr<Lane> l, MappedEnd ours, MappedEnd theirs);
    ~Ends();
    Ends(const Ends&) = delete;
    Ends& operator=(const Ends&) = delete;
    std::shared_ptr<Lane> lane;
    MappedEnd local, remote;
  };
  // Everything but the plan. Requires: the plan is not empty.
  void choose_copy(const plan::Plan& plan, const JobOptions& options, CudaCopy& copy) const;

  std::unique_ptr<Ends> ends_;
  const Link link_;
  const bool planes_together_;
  const bool local_is_host_;
  const CopyCosts costs_;
};

}  // namespace kvferry::path
