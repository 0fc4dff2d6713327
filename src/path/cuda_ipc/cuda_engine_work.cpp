#include "path/cuda_ipc/cuda_engine_work.hpp"

#include "memory/cuda_driver.hpp"

namespace kvferry::path {
namespace {

constexpr std::uint32_t kBatchCopies = 256;
constexpr std::uint64_t kBatchBytes = 1ull << 30;

void* pointer(std::uint64_t address) {
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(address));
}

cudaStream_t stream_at(const Slot& slot, std::uint32_t index) {
  return index == 0 ? slot.stream.get() : slot.forks[index - 1].get();
}

void fork(const Slot& slot, std::uint32_t streams) {
  if (streams <= 1) return;
  cuda::check(cudaEventRecord(slot.fork.get(), slot.stream.get()), "cannot record an event");
  for (std::uint32_t i = 1; i < streams; ++i)
    cuda::check(cudaStreamWaitEvent(stream_at(slot, i), slot.fork.get(), 0),
                "cannot order a stream");
}

void join(const Slot& slot, std::uint32_t streams) {
  for (std::uint32_t i = 1; i < streams; ++i) {
    cuda::check(cudaEventRecord(slot.joins[i - 1].get(), stream_at(slot, i)),
                "cannot record an event");
    cuda::check(cudaStreamWaitEvent(slot.stream.get(), slot.joins[i - 1].get(), 0),
                "cannot order a stream");
  }
}

}  // namespace

EngineWork::EngineWork(const plan::Plan& plan, EngineCut cut, std::uint32_t streams, Link link)
    : copies_(plan, cut),
      streams_(streams),
      batch_pieces_(link != Link::same_gpu && cut == EngineCut::run_pieces) {
#if CUDART_VERSION < 13000
  batch_pieces_ = false;  // its signature changed
#endif
}

bool EngineWork::post_batch(Slot& slot) {
  if (streams_ > 1) Lane::make_forks(slot);
  fork(slot, streams_);
  std::uint32_t copies = 0;
  std::uint64_t bytes = 0;
  bool more = true;
  EngineCopy copy;
  while (copies < kBatchCopies && bytes < kBatchBytes && (more = copies_.next(copy))) {
    post(copy, stream_at(slot, copies % streams_));
    ++copies;
    bytes += copy.bytes();
  }
  flush_pieces(slot.stream.get());
  join(slot, streams_);
  // Asked for by whoever posts the batch after the next.
  if (more)
    cuda::check(cudaEventRecord(slot.batches[posted_batches_ % 2].get(), slot.stream.get()),
                "cannot record an event");
  ++posted_batches_;
  return more;
}

bool EngineWork::ready(const Slot& slot) const {
  if (posted_batches_ < 2) return true;
  // Errors count as ready: the next post reports them.
  return cuda::driver().event_query(slot.batches[posted_batches_ % 2].get()) !=
         CUDA_ERROR_NOT_READY;
}

void EngineWork::post(const EngineCopy& copy, cudaStream_t stream) {
  if (copy.height > 1) {
    // By the driver: 0.6 us less than by the runtime.
    CUDA_MEMCPY2D shape{};
    shape.srcMemoryType = shape.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
    shape.srcDevice = copy.source;
    shape.dstDevice = copy.target;
    shape.srcPitch = copy.source_pitch;
    shape.dstPitch = copy.target_pitch;
    shape.WidthInBytes = copy.width;
    shape.Height = copy.height;
    cuda::check(cuda::driver().copy_2d(&shape, stream), "cannot post a 2D copy");
    return;
  }
  if (batch_pieces_) {
    targets_.push_back(pointer(copy.target));
    sources_.push_back(pointer(copy.source));
    sizes_.push_back(copy.width);
    return;
  }
  cuda::check(cudaMemcpyAsync(pointer(copy.target), pointer(copy.source), copy.width,
                              cudaMemcpyDefault, stream),
              "cannot post a copy");
}

void EngineWork::flush_pieces(cudaStream_t stream) {
  if (sizes_.empty()) return;
#if CUDART_VERSION >= 13000
  cudaMemcpyAttributes attributes{};
  attributes.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
  attributes.flags = cudaMemcpyFlagPreferOverlapWithCompute;
  std::size_t from_first = 0;
  if (cudaMemcpyBatchAsync(targets_.data(), sources_.data(), sizes_.data(), sizes_.size(),
                           &attributes, &from_first, 1, stream) != cudaSuccess) {
    // An older driver does not know it; a real error shows again below.
    (void)cudaGetLastError();
    batch_pieces_ = false;
  }
#endif
  for (std::size_t i = 0; !batch_pieces_ && i < sizes_.size(); ++i)
    cuda::check(cudaMemcpyAsync(targets_[i], sources_[i], sizes_[i], cudaMemcpyDefault, stream),
                "cannot post a copy");
  targets_.clear();
  sources_.clear();
  sizes_.clear();
}

}  // namespace kvferry::path
