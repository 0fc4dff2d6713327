#include "path/tcp/cuda_stages.hpp"

#include <algorithm>
#include <asio/post.hpp>
#include <atomic>

#include "memory/cuda_check.hpp"
#include "path/cuda_ipc/choose.hpp"
#include "path/tcp/stage_plan.hpp"

namespace kvferry::path::tcp {
namespace {

// SMs for one stage's copy: with as many on the other queues they fill PCIe 5, and twice as many
// were no faster (one H200).
constexpr std::uint32_t kStageSms = 16;

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
  in.max_sms = max_sms == 0 ? kStageSms : std::min(max_sms, kStageSms);
  in.copy = CopyMethod::kernel;
  in.to_host = pack;
  in.writes_remote = pack;
  return choose(in).launch;
}

}  // namespace

Stage::~Stage() { of_->give_back(use_, holder_, std::move(parts_)); }

void Stage::copy(const PackedRows& rows, std::uint64_t offset, std::uint64_t bytes, bool pack,
                 std::uint32_t max_sms, std::function<void(bool)> done) {
  const cuda::DeviceGuard guard(of_->lane().device());
  const auto address = reinterpret_cast<std::uint64_t>(parts_.memory.data());
  std::atomic_ref(parts_.words->done).store(0, std::memory_order_relaxed);
  const auto plans = stage_plans(rows, offset, bytes, address, pack);
  CopyQueue& queue = of_->next_queue(pack);
  const std::lock_guard lock(queue.mutex);
  Slot& slot = *queue.slot;
  const cudaStream_t stream = slot.stream.get();
  try {
    for (const plan::Plan& plan : plans) {
      kernels::Control control;
      control.words = parts_.words;
      control.relay = reinterpret_cast<std::uint32_t*>(slot.relay.data());
      control.ticket = slot.next_tickets(kernels::launches(plan));
      control.tell_end = &plan == &plans.back();
      const auto launch = launch_for(plan, of_->lane().info(), pack, max_sms);
      cuda::check(static_cast<cudaError_t>(kernels::launch_copy(plan, launch, control, stream)),
                  "cannot launch the copy kernel of a stage");
    }
    of_->watch_.add(parts_.words, stream, std::move(done));
  } catch (...) {
    // Nobody will hear of what was launched.
    (void)cudaStreamSynchronize(stream);
    throw;
  }
}

Stages::Stages(int device, std::shared_ptr<NetThreads> threads)
    : lane_(Lane::open(device)), threads_(std::move(threads)), watch_(device) {
  for (Queues* queues : {&packing_, &scattering_})
    for (CopyQueue& queue : *queues) queue.slot = lane_->take_slot();
}

Stages::~Stages() {
  for (Queues* queues : {&packing_, &scattering_})
    for (CopyQueue& queue : *queues) lane_->give_back(std::move(queue.slot));
  for (const Stage::Parts& parts : free_) lane_->give_back(parts.words);
  try {
    const cuda::DeviceGuard guard(lane_->device());
    free_.clear();
  } catch (const Error&) {
    // The driver is gone: the process is ending.
  }
}

CopyQueue& Stages::next_queue(bool pack) noexcept {
  if (pack) return packing_[packs_++ % kCopyQueues];
  return scattering_[scatters_++ % kCopyQueues];
}

std::unique_ptr<Stage> Stages::take(StageUse use, const void* holder,
                                    const std::function<void()>& kick) {
  Stage::Parts parts;
  {
    const std::lock_guard lock(mutex_);
    if (!queue_.take(use, holder, kick)) return nullptr;
    if (!free_.empty()) {
      parts = std::move(free_.back());
      free_.pop_back();
    }
  }
  // From here on its end gives it back, whole or not.
  auto stage = std::make_unique<Stage>(shared_from_this(), use, holder, std::move(parts));
  stage->complete();
  return stage;
}

void Stage::complete() {
  if (parts_.words != nullptr) return;
  const cuda::DeviceGuard guard(of_->lane().device());
  parts_.memory = cuda::PinnedBuffer::allocate(kStageBytes);
  parts_.words = of_->lane().take_words();
}

void Stages::give_back(StageUse use, const void* holder, Stage::Parts parts) noexcept {
  std::vector<StageQueue::Waiting> told;
  {
    const std::lock_guard lock(mutex_);
    if (parts.words != nullptr) free_.push_back(std::move(parts));
    told = queue_.give_back(use, holder);
  }
  try {
    for (auto& [waiting, kick] : told) {
      const auto place = threads_->place();
      asio::post(place.io(), std::move(kick));
    }
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
