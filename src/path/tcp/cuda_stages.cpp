#include "path/tcp/cuda_stages.hpp"

#include <asio/post.hpp>
#include <atomic>

#include "memory/cuda_check.hpp"
#include "path/cuda_ipc/choose.hpp"
#include "path/tcp/stage_plan.hpp"

namespace kvferry::path::tcp {
namespace {

kernels::Launch launch_for(const plan::Plan& plan, const cuda::DeviceInfo& info, bool pack,
                           std::uint32_t max_sms) {
  ChooseInput in;
  in.row_bytes = plan.row_bytes;
  in.blocks = plan.blocks;
  in.planes = plan.planes;
  in.alignment = alignment_of(plan);
  in.link = Link::host;
  in.compute_major = info.compute_major;
  in.sm_count = info.sm_count;
  in.shared_bytes = info.shared_bytes;
  in.max_sms = max_sms;
  in.copy = CopyMethod::kernel;
  in.to_host = pack;
  in.writes_remote = pack;
  return choose(in).launch;
}

}  // namespace

Stage::Stage(std::shared_ptr<Stages> of, cuda::PinnedBuffer memory, std::unique_ptr<Slot> slot,
             kernels::Words* words)
    : of_(std::move(of)), memory_(std::move(memory)), slot_(std::move(slot)), words_(words) {}

Stage::~Stage() { of_->give_back({std::move(memory_), std::move(slot_), words_}); }

void Stage::copy(const PackedRows& rows, std::uint64_t offset, std::uint64_t bytes, bool pack,
                 std::uint32_t max_sms, std::function<void(bool)> done) {
  const cuda::DeviceGuard guard(of_->lane().device());
  const cudaStream_t stream = slot_->stream.get();
  const auto address = reinterpret_cast<std::uint64_t>(memory_.data());
  std::atomic_ref(words_->done).store(0, std::memory_order_relaxed);
  const auto plans = stage_plans(rows, offset, bytes, address, pack);
  try {
    for (const plan::Plan& plan : plans) {
      kernels::Control control;
      control.words = words_;
      control.relay = reinterpret_cast<std::uint32_t*>(slot_->relay.data());
      control.ticket = slot_->next_tickets(kernels::launches(plan));
      control.tell_end = &plan == &plans.back();
      const auto launch = launch_for(plan, of_->lane().info(), pack, max_sms);
      cuda::check(static_cast<cudaError_t>(kernels::launch_copy(plan, launch, control, stream)),
                  "cannot launch the copy kernel of a stage");
    }
    of_->watch_.add(words_, stream, std::move(done));
  } catch (...) {
    // Nobody will hear of what was launched.
    (void)cudaStreamSynchronize(stream);
    throw;
  }
}

Stages::Stages(int device, std::shared_ptr<NetThreads> threads)
    : lane_(Lane::open(device)), threads_(std::move(threads)), watch_(device) {}

Stages::~Stages() {
  for (Rest& rest : free_) {
    lane_->give_back(std::move(rest.slot));
    lane_->give_back(rest.words);
  }
  try {
    const cuda::DeviceGuard guard(lane_->device());
    free_.clear();
  } catch (const Error&) {
    // The driver is gone: the process is ending.
  }
}

std::unique_ptr<Stage> Stages::take(const std::function<void()>& kick) {
  Rest rest;
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      rest = std::move(free_.back());
      free_.pop_back();
    } else if (made_ == kMostStages) {
      waiting_.push_back(kick);
      return nullptr;
    } else {
      ++made_;
    }
  }
  if (!rest.slot) {
    try {
      const cuda::DeviceGuard guard(lane_->device());
      rest.memory = cuda::PinnedBuffer::allocate(kStageBytes);
      rest.slot = lane_->take_slot();
      rest.words = lane_->take_words();
    } catch (...) {
      const std::lock_guard lock(mutex_);
      --made_;
      throw;
    }
  }
  return std::make_unique<Stage>(shared_from_this(), std::move(rest.memory), std::move(rest.slot),
                                 rest.words);
}

void Stages::give_back(Rest rest) noexcept {
  std::function<void()> next;
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(rest));
    if (!waiting_.empty()) {
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
  }
  if (!next) return;
  // Not here: whoever gives back may hold locks that the other one's link wants.
  try {
    const auto place = threads_->place();
    asio::post(place.io(), std::move(next));
  } catch (...) {
    // No thread to be had: nothing moves anyway.
  }
}

std::shared_ptr<Stages> StagePools::of(int device) {
  const std::lock_guard lock(mutex_);
  auto& stages = stages_[device];
  if (!stages) stages = std::make_shared<Stages>(device, threads_);
  return stages;
}

std::shared_ptr<StagePools> make_stage_pools(std::shared_ptr<NetThreads> threads) {
  return std::make_shared<StagePools>(std::move(threads));
}

}  // namespace kvferry::path::tcp
