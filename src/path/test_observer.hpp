#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "path/path.hpp"

namespace kvferry::path {

// An observer that calls a function.
class CallOnQuiet final : public JobObserver {
 public:
  explicit CallOnQuiet(std::function<void()> call) : call_(std::move(call)) {}
  void job_is_quiet() noexcept override { call_(); }

 private:
  std::function<void()> call_;
};

inline std::shared_ptr<JobObserver> on_quiet(std::function<void()> call) {
  return std::make_shared<CallOnQuiet>(std::move(call));
}

// Starts a plan, and calls a function once it is quiet.
inline std::shared_ptr<Job> start_copy(Route& route, plan::Plan plan,
                                       const JobOptions& options = {},
                                       std::function<void()> call = {}) {
  return route.start(plan, options, call ? on_quiet(std::move(call)) : nullptr);
}

}  // namespace kvferry::path
