#include "cuda_copy/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "cuda_copy/cases.hpp"
#include "kernels/copy.hpp"
#include "memory/cuda_check.hpp"
#include "memory/cuda_device.hpp"
#include "memory/cuda_handles.hpp"
#include "path/cuda_ipc/cuda_ipc_path.hpp"

namespace kvferry::bench {
namespace {

using namespace std::chrono_literals;

// Times a launch on its own, from call to done.
struct Shape {
  kernels::Launch launch;
  double us = 0;
};

void sweep_plan(const std::string& name, const plan::Plan& plan, int device, double reference_us,
                const std::function<void()>& other_work) {
  const auto info = cuda::device_info(device);
  const cuda::DeviceGuard guard(device);
  const auto stream = cuda::Stream::create();
  const auto words = cuda::PinnedBuffer::allocate(sizeof(kernels::Words));
  const auto relay = cuda::DeviceBuffer::allocate(sizeof(std::uint32_t));
  cuda::check(cudaMemset(relay.data(), 0, sizeof(std::uint32_t)), "clear the relay");
  kernels::Control control;
  control.words = new (words.data()) kernels::Words();
  control.relay = reinterpret_cast<std::uint32_t*>(relay.data());
  std::vector<Shape> shapes;
  for (const std::uint32_t ctas : {8u, 12u, 16u, 20u, 24u, 32u, 48u, 66u, info.sm_count})
    for (const std::uint32_t rings : {kernels::kTmaFewRings, kernels::kTmaManyRings})
      shapes.push_back(
          {{kernels::Family::tma, ctas, 32 * rings, 32, kernels::tma_stage_bytes(rings)}, 0});
  for (const std::uint32_t ctas :
       {16u, 24u, 32u, 66u, info.sm_count, 2 * info.sm_count, 4 * info.sm_count, 8 * info.sm_count})
    for (const std::uint32_t threads : {256u, 512u, 1024u})
      for (const std::uint32_t chunk : {8192u, 16384u, 32768u, 65536u})
        for (const std::uint32_t group : {32u, 64u, 128u})
          shapes.push_back({{kernels::Family::plain, ctas, threads, group, chunk}, 0});
  for (Shape& shape : shapes) {
    std::vector<double> us;
    for (int i = -2; i < 9; ++i) {
      ++control.ticket;
      // What comes before leaves other data in the caches, as it does in use.
      other_work();
      std::this_thread::sleep_for(200us);
      const double t = time_us([&] {
        cuda::check(static_cast<cudaError_t>(
                        kernels::launch_copy(plan, shape.launch, control, stream.get())),
                    "launch");
        cuda::check(cudaStreamSynchronize(stream.get()), "copy");
      });
      if (i >= 0) us.push_back(t);
    }
    shape.us = percentile(us, 0.5);
  }
  std::ranges::sort(shapes, {}, &Shape::us);
  fmt::print("# {}: contiguous copy {:.1f} us\n", name, reference_us);
  for (const std::uint32_t most : {UINT32_MAX, 24u, 16u}) {
    int shown = 0;
    for (const Shape& s : shapes) {
      if (s.launch.ctas > most || shown++ == 8) continue;
      fmt::print("  <= {:>10}: {:>8.1f} us {:>5.1f} %  {} ctas {} threads {} group {} chunk {}\n",
                 most, s.us, 100 * reference_us / s.us, to_string(s.launch.family), s.launch.ctas,
                 s.launch.threads, s.launch.group, s.launch.chunk_bytes);
    }
  }
}

}  // namespace

void sweep_pair(const std::string& name, Device remote, Device local) {
  path::CudaIpcPath path;
  for (const Case& c :
       {Case{"64 KiB x 64", 16, 64}, Case{"8 KiB x 480", 2, 480}, Case{"64 KiB x 1", 16, 1}}) {
    CacheShape shape;
    shape.block_tokens = c.block_tokens;
    const auto blocks = static_cast<std::uint32_t>(shape.blocks_for(4ull << 30));
    const Pool theirs = make_pool(remote, shape, blocks);
    const Pool ours = make_pool(local, shape, blocks);
    const auto route = path.open(ours.state(), end_of(theirs));
    const auto plan =
        plan::make_plan(route->remote(), route->local(), ids(c, blocks, 1), ids(c, blocks, 2), {});
    const cuda::DeviceGuard guard(local.ordinal);
    const auto stream = cuda::Stream::create();
    const auto copy = [&] { contiguous_copy(theirs, ours, plan.bytes(), stream.get()); };
    // Twice the size and elsewhere, so that neither side finds its own data or pages warm.
    const auto other_work = [&] {
      cuda::check(cudaMemsetAsync(ours.layer(20), 1, 2 * plan.bytes(), stream.get()), "other work");
      cuda::check(cudaStreamSynchronize(stream.get()), "other work");
    };
    std::vector<double> reference;
    for (int i = 0; i < 15; ++i) {
      other_work();
      std::this_thread::sleep_for(200us);
      reference.push_back(time_us(copy));
    }
    sweep_plan(name + " " + c.name, plan, local.ordinal, percentile(reference, 0.5), other_work);
  }
}

}  // namespace kvferry::bench
