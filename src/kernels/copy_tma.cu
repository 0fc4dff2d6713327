#include "kernels/copy_device.cuh"

namespace kvferry::kernels {
namespace {

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
// Loads run so far ahead of stores; the stages between are being stored.
constexpr std::uint32_t kLag = 2;
constexpr std::uint32_t kAhead = kTmaStages - kLag;

// One lane's ring of stages: item j goes through stage j mod kTmaStages.
template <std::uint32_t kStageBytes, std::size_t kBytes>
class Ring {
 public:
  __device__ __forceinline__ Ring(const Params<kBytes>& p, std::uint32_t worker,
                                  unsigned char* stages, std::uint64_t* full)
      : stages_(stages), full_(full), loads_(p, worker), stores_(p, worker) {
    for (std::uint32_t i = 0; i < kTmaStages; ++i) ptx::barrier_init(&full_[i]);
    ptx::barrier_init_done();
  }

  __device__ __forceinline__ void load_next() {
    const std::uint32_t bytes = loads_.bytes();
    ptx::barrier_expect(&full_[load_stage_], bytes);
    ptx::bulk_load(stages_ + load_stage_ * kStageBytes, loads_.source(), bytes,
                   &full_[load_stage_]);
    loads_.advance();
    if (++load_stage_ == kTmaStages) load_stage_ = 0;
  }
  __device__ __forceinline__ void await_next() { ptx::barrier_wait(&full_[store_stage_], parity_); }
  __device__ __forceinline__ void store_next() {
    ptx::bulk_store(stores_.target(), stages_ + store_stage_ * kStageBytes, stores_.bytes());
    stores_.advance();
    pass();
  }
  // Done with the stage that await_next() waited for.
  __device__ __forceinline__ void pass() {
    if (++store_stage_ == kTmaStages) {
      store_stage_ = 0;
      parity_ ^= 1;
    }
  }

 private:
  unsigned char* stages_;
  std::uint64_t* full_;
  Cursor<kBytes> loads_, stores_;
  std::uint32_t load_stage_ = 0, store_stage_ = 0, parity_ = 0;
};

template <typename Ring>
__device__ __forceinline__ void run(Words* words, Ring& ring, AbortPoll& poll, std::uint64_t items,
                                    const volatile std::uint32_t& stop) {
  std::uint64_t loaded = 0;
  for (; loaded < kAhead && loaded < items && stop == 0; ++loaded) ring.load_next();
  for (std::uint64_t k = 0; k < items; ++k) {
    if (stop != 0) {
      // What is on its way into shared memory must land before the CTA may end.
      for (; k < loaded; ++k) {
        ring.await_next();
        ring.pass();
      }
      ptx::store_system(&words->stopped, 1);
      break;
    }
    poll.ask(k, items);
    ring.await_next();
    ring.store_next();
    if (loaded < items) {
      // Item `loaded` takes the stage that item k - kLag was stored from.
      ptx::bulk_wait_read<kLag - 1>();
      ring.load_next();
      ++loaded;
    }
    poll.tell(k);
  }
  ptx::bulk_wait_all();
}
#endif

template <std::uint32_t kRings, std::size_t kBytes>
__global__ void __launch_bounds__(32 * kRings, 1)
    copy_tma(const __grid_constant__ Params<kBytes> p,
             const __grid_constant__ ControlArgs control) {
#if __CUDA_ARCH__ >= 900
  constexpr std::uint32_t kStageBytes = kTmaRoundBytes / kRings;
  extern __shared__ __align__(128) unsigned char stages[];
  __shared__ std::uint64_t full[kRings * kTmaStages];
  __shared__ volatile std::uint32_t stop;
  if (threadIdx.x == 0) stop = aborted_at_start(control) ? 1 : 0;
  __syncthreads();
  const std::uint32_t index = threadIdx.x / 32;
  const std::uint32_t worker = index * gridDim.x + blockIdx.x;
  const std::uint64_t items = items_of(p.args, worker);
  // One lane of each warp drives a ring; the copies themselves need no threads.
  if (threadIdx.x % 32 == 0 && items > 0) {
    Ring<kStageBytes, kBytes> ring(p, worker, stages + index * kTmaStages * kStageBytes,
                                   full + index * kTmaStages);
    AbortPoll poll(control, p.args.poll_mask, index == 0, &stop);
    run(control.words, ring, poll, items, stop);
  }
  tell_end(control);
#endif
}

template <std::uint32_t kRings, std::size_t... kClass>
const void* pick(std::uint32_t payload_class, std::index_sequence<kClass...>) {
  static const void* const kernels[] = {
      reinterpret_cast<const void*>(&copy_tma<kRings, kPayloadBytes[kClass]>)...};
  return kernels[payload_class];
}

}  // namespace

const void* tma_kernel(std::uint32_t rings, std::uint32_t payload_class) {
  return rings > kTmaFewRings ? pick<kTmaManyRings>(payload_class, PayloadClasses())
                              : pick<kTmaFewRings>(payload_class, PayloadClasses());
}

}  // namespace kvferry::kernels
