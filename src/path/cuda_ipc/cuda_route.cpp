#include "path/cuda_ipc/cuda_route.hpp"

#include <fmt/format.h>

#include <thread>

#include "path/cuda_ipc/cuda_job.hpp"
#include "path/cuda_ipc/engine_copies.hpp"

namespace kvferry::path {
namespace {

void check_plan(const plan::Plan& plan) {
  const auto complete = [&](const plan::Side& side) {
    return side.plane_base.size() == plan.planes;
  };
  if (plan.row_bytes == 0 || plan.blocks > INT32_MAX || plan.planes > INT32_MAX ||
      !complete(plan.source) || !complete(plan.target))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("cannot copy {} blocks of {} planes of {} bytes in one transfer",
                            plan.blocks, plan.planes, plan.row_bytes));
}

}  // namespace

CudaRoute::Ends::Ends(std::shared_ptr<Lane> l, MappedEnd ours, MappedEnd theirs)
    : lane(std::move(l)), local(std::move(ours)), remote(std::move(theirs)) {}

CudaRoute::Ends::~Ends() {
  // Unmapping needs no context of ours where it is VMM, but pins and legacy handles do.
  try {
    const cuda::DeviceGuard guard(lane->device());
    local = {};
    remote = {};
  } catch (const Error&) {
    // The driver is gone: the process is ending.
  }
}

CudaRoute::CudaRoute(Setup setup, MappedEnd local, MappedEnd remote)
    : ends_(std::make_unique<Ends>(std::move(setup.lane), std::move(local), std::move(remote))),
      link_(setup.link),
      planes_together_(setup.planes_together),
      costs_(setup.costs) {}

CudaRoute::~CudaRoute() {
  if (!on_restricted_thread()) return;
  // The last owner let go inside a callback of CUDA's, where unmapping is not allowed.
  try {
    std::thread([ends = std::move(ends_)] {}).detach();
  } catch (...) {
    (void)ends_.release();
  }
}

std::shared_ptr<Job> CudaRoute::start(plan::Plan plan, const JobOptions& options,
                                      std::function<void()> quiet) {
  const std::shared_ptr<Lane>& lane = ends_->lane;
  if (plan.blocks == 0 || plan.planes == 0) return CudaJob::start_empty(lane, std::move(quiet));
  check_plan(plan);
  const cuda::DeviceInfo& info = lane->info();
  CudaJob::Setup setup;
  setup.lane = lane;
  setup.cut = cut_for_engine(plan, info.max_pitch, planes_together_);
  ChooseInput& in = setup.input;
  in.row_bytes = plan.row_bytes;
  in.blocks = plan.blocks;
  in.planes = plan.planes;
  in.alignment = alignment_of(plan);
  in.engine_copies = engine_copies(plan, setup.cut);
  in.engine_flat = is_flat(plan, setup.cut);
  in.link = link_;
  in.costs = &costs_;
  in.compute_major = info.compute_major;
  in.sm_count = info.sm_count;
  in.shared_bytes = info.shared_bytes;
  in.max_sms = options.max_sms;
  in.copy = options.copy;
  in.ordered = options.stream.has_value();
  in.writes_remote = options.direction == Direction::push;
  setup.choice = choose(in);
  setup.plan = std::move(plan);
  setup.stream = options.stream;
  setup.quiet = std::move(quiet);
  return CudaJob::start(std::move(setup));
}

}  // namespace kvferry::path
