#include "gemm_beside/gemm_load.hpp"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <random>

namespace gemm_beside {
namespace {

using kvferry::Error, kvferry::ErrorCode;
using kvferry::cuda::check, kvferry::cuda::DeviceBuffer;

// What cuBLAS's guide asks for on Hopper is 32 MiB; more changes nothing.
constexpr std::size_t kWorkspaceBytes = 64u << 20;

float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

// Nearly normal numbers, mean 0 and deviation 1: the sum of four random bytes. Half a billion of
// std::normal_distribution's take minutes.
std::vector<std::uint16_t> random_matrix(int size, std::uint64_t seed) {
  std::vector<std::uint16_t> out(static_cast<std::size_t>(size) * static_cast<std::size_t>(size));
  std::mt19937_64 random(seed);
  const float mean = 4 * 127.5f, deviation = 147.8f;
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    bits = i % 2 == 0 ? random() : bits >> 32;
    const auto sum = (bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24 & 255);
    const float value = (static_cast<float>(sum) - mean) / deviation;
    out[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
  }
  return out;
}

DeviceBuffer upload(const std::vector<std::uint16_t>& matrix) {
  DeviceBuffer buffer = DeviceBuffer::allocate(matrix.size() * sizeof(matrix[0]));
  check(cudaMemcpy(buffer.data(), matrix.data(), buffer.size(), cudaMemcpyHostToDevice),
        "cannot upload a matrix");
  return buffer;
}

}  // namespace

GemmLoad::GemmLoad(const Cublas& cublas, int size, std::uint64_t seed)
    : cublas_(cublas), size_(size), stream_(kvferry::cuda::Stream::create()) {
  const auto a = random_matrix(size, seed), b = random_matrix(size, seed + 1);
  a_ = upload(a);
  b_ = upload(b);
  c_ = DeviceBuffer::allocate(a_.size());
  check(cudaMemset(c_.data(), 0, c_.size()), "cannot clear the product");
  workspace_ = DeviceBuffer::allocate(kWorkspaceBytes);
  check(cudaDeviceSynchronize(), "cannot set up the matrices");
  handle_ = cublas_.create(stream_.get(), workspace_.data(), workspace_.size());
  try {
    compare_one(a, b);
  } catch (...) {
    cublas_.destroy(handle_);
    throw;
  }
}

GemmLoad::~GemmLoad() {
  cudaStreamSynchronize(stream_.get());
  cublas_.destroy(handle_);
}

double GemmLoad::flops() const noexcept { return 2 * std::pow(static_cast<double>(size_), 3); }

// The last element of the last column, so that a wrong size shows too.
void GemmLoad::compare_one(const std::vector<std::uint16_t>& a,
                           const std::vector<std::uint16_t>& b) {
  cublas_.multiply(handle_, size_, a_.data(), b_.data(), c_.data());
  check(cudaStreamSynchronize(stream_.get()), "the first GEMM");
  std::uint16_t got_bits = 0;
  check(cudaMemcpy(&got_bits, c_.data() + c_.size() - sizeof(got_bits), sizeof(got_bits),
                   cudaMemcpyDeviceToHost),
        "cannot read the product");
  const auto n = static_cast<std::size_t>(size_);
  double wanted = 0, terms = 0;
  for (std::size_t k = 0; k < n; ++k) {
    const double term = double{from_bf16(a[k * n + n - 1])} * from_bf16(b[(n - 1) * n + k]);
    wanted += term;
    terms += std::abs(term);
  }
  const double got = from_bf16(got_bits);
  // bf16 keeps 8 bits; float sums lose next to nothing of so few terms.
  if (std::abs(got - wanted) <= std::abs(wanted) / 128 + terms * 1e-5) return;
  throw Error(ErrorCode::failed,
              fmt::format("the GEMM is wrong: its last element is {}, not {}", got, wanted));
}

void GemmLoad::record(const TimedEvent& event) {
  check(cudaEventRecord(event.get(), stream_.get()), "cannot record an event");
}

GemmTimes GemmLoad::run(unsigned count, unsigned warm) {
  while (events_.size() < count + 1) events_.emplace_back();
  for (unsigned i = 0; i < warm; ++i)
    cublas_.multiply(handle_, size_, a_.data(), b_.data(), c_.data());
  record(events_[0]);
  for (unsigned i = 0; i < count; ++i) {
    cublas_.multiply(handle_, size_, a_.data(), b_.data(), c_.data());
    record(events_[i + 1]);
  }
  GemmTimes times;
  check(cudaEventSynchronize(events_[0].get()), "GEMM");
  times.begin = Clock::now();
  check(cudaEventSynchronize(events_[count].get()), "GEMM");
  times.end = Clock::now();
  const auto between = [&](unsigned from, unsigned to) {
    float ms = 0;
    check(cudaEventElapsedTime(&ms, events_[from].get(), events_[to].get()), "cannot time a GEMM");
    return double{ms};
  };
  for (unsigned i = 0; i < count; ++i) times.each_ms.push_back(between(i, i + 1));
  times.mean_ms = between(0, count) / count;
  return times;
}

}  // namespace gemm_beside
