#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "bench/child_process.hpp"
#include "bench/reference.hpp"
#include "bench/result.hpp"
#include "bench/sampler.hpp"
#include "interrupts.hpp"

namespace kvferry::cli::bench {

// iperf3 between two processes over loopback: what people know a network by. One thread.
class Iperf3 {
 public:
  // Starts its server. Throws: Error{resource}, Error{cancelled}.
  Iperf3(std::string program, const Interrupts& interrupts);

  // Seconds that so many bytes took over so many streams, by its own account. `congestion` empty:
  // the system's. Throws: Error{resource} with its words, Error{cancelled}.
  double copy(std::uint64_t bytes, unsigned streams, const std::string& congestion);
  // "iperf 3.12"
  const std::string& version() const noexcept { return version_; }

 private:
  // What it printed.
  std::string run(const std::vector<std::string>& arguments) const;

  const std::string program_;
  const Interrupts& interrupts_;
  std::string version_;
  std::uint16_t port_ = 0;
  ChildProcess server_;
};

struct Iperf3Spec {
  const Work& work;
  Reference& sockets;
  const std::string& congestion;
};
// Its rate and that of plain sockets, in turn. Throws: as Iperf3::copy.
Figure measure_iperf3(Iperf3& iperf3, const Iperf3Spec& spec, const Pace& pace,
                      const std::function<bool()>& stop);

// Seconds that `bytes` would have taken at the rate which a report of iperf3 -J gives.
// Throws: Error{resource}.
double iperf3_seconds(std::string_view report, std::uint64_t bytes);

}  // namespace kvferry::cli::bench
