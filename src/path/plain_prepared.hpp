#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "kvferry/error.hpp"
#include "path/path.hpp"

namespace kvferry::path {

// The prepared copy of a path that keeps nothing ready but the plan it has checked: each start goes
// the way of any other, and no CUDA graph can hold it. `start` is called as PreparedCopy::start,
// any number of times; `why_no_graph` follows "capture: ".
template <typename Start>
class PlainPrepared final : public PreparedCopy {
 public:
  PlainPrepared(Start start, std::string why_no_graph)
      : start_(std::move(start)), why_no_graph_(std::move(why_no_graph)) {}
  std::shared_ptr<Job> start(
      std::shared_ptr<JobObserver> observer,
      std::optional<std::chrono::steady_clock::time_point> deadline) override {
    return start_(std::move(observer), deadline);
  }
  void capture(CudaStream) override {
    throw Error(ErrorCode::invalid_argument, "capture: " + why_no_graph_);
  }
  void retire(ErrorCode) noexcept override {}
  const volatile std::uint32_t* status_word() const noexcept override { return nullptr; }

 private:
  const Start start_;
  const std::string why_no_graph_;
};

template <typename Start>
std::unique_ptr<PreparedCopy> plain_prepared(Start start, std::string why_no_graph) {
  return std::make_unique<PlainPrepared<Start>>(std::move(start), std::move(why_no_graph));
}

}  // namespace kvferry::path
