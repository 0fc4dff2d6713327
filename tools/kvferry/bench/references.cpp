#include "bench/references.hpp"

#include <fmt/format.h>

#include "bench/figure.hpp"
#include "bench/network_reference.hpp"
#include "bench/runner.hpp"
#include "bench/suite.hpp"

namespace kvferry::cli::bench {

std::unique_ptr<Reference> References::make(const Work& work) const {
  if (work.wire == "tls") return make_cipher_reference();
  if (work.group == Group::tcp) return make_socket_reference(work.streams, settings_.congestion);
  if (work.group == Group::ucx)
    return make_ucx_reference({work.from, work.to, settings_.ucx_transports});
  if (work.link == "host") return make_host_reference(copy_threads(topology_));
  return make_cuda_reference({work.from, work.to, copying_device(work)});
}

Reference& References::for_work(const Work& work) {
  const bool sockets = work.group == Group::tcp;
  // Neither sockets nor ciphers care for what is at the ends.
  const std::string ends = sockets ? "" : work.from + " " + work.to + " " + copying_device(work);
  const std::string key = fmt::format("{} {} {} {}", sockets ? "tcp" : work.path, ends,
                                      work.wire == "tls", work.streams);
  if (reference_ == nullptr || key != key_) {
    reference_.reset();
    reference_ = make(work);
    key_ = key;
  }
  return *reference_;
}

Iperf3& References::iperf3() {
  if (iperf3_ == nullptr) iperf3_ = std::make_unique<Iperf3>(topology_.iperf3, interrupts_);
  return *iperf3_;
}

}  // namespace kvferry::cli::bench
