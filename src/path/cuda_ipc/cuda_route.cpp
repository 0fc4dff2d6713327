#include "path/cuda_ipc/cuda_route.hpp"

#include <fmt/format.h>

#include <thread>

#include "base/scope_exit.hpp"
#include "path/cuda_ipc/cuda_job.hpp"
#include "path/cuda_ipc/cuda_prepared.hpp"
#include "path/cuda_ipc/cuda_watcher.hpp"
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
      local_is_host_(!ends_->local.pool->device.is_cuda()),
      costs_(setup.costs) {}

CudaRoute::~CudaRoute() {
  if (!Watcher::is_this_thread()) return;
  try {
    std::thread([ends = std::move(ends_)] {}).detach();
  } catch (...) {
    (void)ends_.release();
  }
}

void CudaRoute::choose_copy(const plan::Plan& plan, const JobOptions& options,
                            CudaCopy& copy) const {
  check_plan(plan);
  const cuda::DeviceInfo& info = ends_->lane->info();
  copy.cut = cut_for_engine(plan, info.max_pitch, planes_together_);
  ChooseInput& in = copy.input;
  in.row_bytes = plan.row_bytes;
  in.blocks = plan.blocks;
  in.planes = plan.planes;
  in.alignment = alignment_of(plan);
  in.engine_copies = engine_copies(plan, copy.cut);
  in.engine_flat = is_flat(plan, copy.cut);
  in.link = link_;
  in.costs = &costs_;
  in.compute_major = info.compute_major;
  in.sm_count = info.sm_count;
  in.shared_bytes = info.shared_bytes;
  in.max_sms = options.max_sms;
  in.copy = options.copy;
  in.ordered = options.stream.has_value();
  in.writes_remote = options.direction == Direction::push;
  in.to_host = link_ == Link::host && in.writes_remote != local_is_host_;
  copy.choice = choose(in);
  in.costs = &kDefaultCosts;  // jobs outlive their route, and need it no more
}

std::shared_ptr<Job> CudaRoute::start(plan::Plan& plan, const JobOptions& options,
                                      std::shared_ptr<JobObserver> observer) {
  const std::shared_ptr<Lane>& lane = ends_->lane;
  if (plan.blocks == 0 || plan.planes == 0) return CudaJob::start_empty(lane, std::move(observer));
  CudaCopy copy;
  choose_copy(plan, options, copy);
  copy.plan = std::move(plan);
  const ScopeExit give_back([&] { plan = std::move(copy.plan); });
  CudaJob::Setup setup;
  setup.lane = lane;
  setup.once = &copy;
  setup.stream = options.stream;
  setup.prompt = options.prompt;
  setup.observer = std::move(observer);
  return CudaJob::start(std::move(setup));
}

std::unique_ptr<PreparedCopy> CudaRoute::prepare(plan::Plan plan, const JobOptions& options) {
  auto copy = std::make_shared<CudaCopy>();
  if (plan.blocks != 0 && plan.planes != 0) {
    choose_copy(plan, options, *copy);
    if (!copy->choice.engine) copy->packed.emplace(plan, copy->choice.launch);
  }
  copy->plan = std::move(plan);
  return std::make_unique<CudaPrepared>(ends_->lane, std::move(copy), options);
}

}  // namespace kvferry::path
