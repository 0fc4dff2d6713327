#pragma once

namespace kvferry {

// What one way to copy costs: start_us + bytes / gb_per_s + gap_us for each copy of an engine after
// the first. Times in microseconds from call to done, rates in 10^9 bytes a second.
struct CopyCost {
  double start_us = 0;
  double gb_per_s = 0;
  double gap_us = 0;
  constexpr double us(double bytes, double copies) const noexcept {
    return start_us + bytes / (gb_per_s * 1e3) + (copies > 1 ? (copies - 1) * gap_us : 0);
  }
};

// The cost model by which a transfer with a GPU is given to a kernel or to the copy engine
// (CopyMethod::automatic). The defaults were measured on 2 x H200, from call to done, scattered
// blocks of 64 KiB in 40 layers; `kvferry bench --calibrate` measures those of another machine.
struct CopyCosts {
  // Between two GPUs. NVLink 4: one 2D copy of 2.5 MiB 14.9 us, 64 of them 674 us, contiguous 389
  // GB/s.
  CopyCost peer_engine{8.3, 390, 3.6};
  // NVLink 4: 2.5 MiB 18 us, 160 MiB 463 us.
  CopyCost peer_kernel{11.8, 370, 0};
  // On one GPU, contiguous: a kernel of the driver's. 160 MiB 88-92 us.
  CopyCost same_gpu_flat_engine{7.0, 1980, 3.0};
  // On one GPU, 2D: 64 copies by four streams 280 to 400 us; one of 2.5 MiB 24 us between other
  // work.
  CopyCost same_gpu_engine{20.0, 700, 1.4};
  // On one GPU: 2.5 MiB 11.5 us, 160 MiB 98-102 us.
  CopyCost same_gpu_kernel{10.0, 1820, 0};
  // From host memory to a GPU, PCIe 5: 160 MiB in 64 copies 3.25 to 3.37 ms, which differs from
  // machine to machine, contiguous 55 GB/s.
  CopyCost from_host_engine{12, 55, 5.0};
  // PCIe 5: 160 MiB 3.30 ms on all of them, also from 16 CTAs.
  CopyCost from_host_kernel{14, 51.0, 0};
  // To host memory: 160 MiB in 64 copies 3.50 ms.
  CopyCost to_host_engine{12, 55, 7.0};
  // 160 MiB 3.24 ms.
  CopyCost to_host_kernel{14, 52.0, 0};
};

}  // namespace kvferry
