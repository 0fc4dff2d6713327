#pragma once

#include <functional>
#include <memory>
#include <string>

#include "bench/iperf3.hpp"
#include "bench/reference.hpp"
#include "bench/result.hpp"
#include "bench/topology.hpp"

namespace kvferry::cli::bench {

struct RunSettings;

// What works are held against, and what of others' stands beside them. Works that need the same
// thing find it made. One thread.
class References {
 public:
  References(const Topology& topology, const RunSettings& settings, const Interrupts& interrupts)
      : topology_(topology), settings_(settings), interrupts_(interrupts) {}

  // Until the next call or the end of this object. Throws: Error{resource}, Error{refused}.
  Reference& for_work(const Work& work);
  Iperf3& iperf3();
  void drop() noexcept { reference_.reset(); }

 private:
  std::unique_ptr<Reference> make(const Work& work) const;

  const Topology& topology_;
  const RunSettings& settings_;
  const Interrupts& interrupts_;
  std::string key_;
  std::unique_ptr<Reference> reference_;
  std::unique_ptr<Iperf3> iperf3_;
};

}  // namespace kvferry::cli::bench
