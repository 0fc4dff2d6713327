#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/cold_caches.hpp"
#include "bench/references.hpp"
#include "bench/result.hpp"
#include "bench/sampler.hpp"
#include "bench/servers.hpp"
#include "bench/session.hpp"
#include "bench/topology.hpp"
#include "tool_context.hpp"

namespace kvferry::cli::bench {

struct RunSettings {
  bool quick = false;
  std::size_t repetitions = 31;               // of throughput figures
  std::chrono::duration<double> per_work{3};  // at most, once the least repetitions are done
  CopyCosts costs{};                          // by which the clients choose
  std::string congestion{};      // of connections, ours and the reference's; empty: the default
  std::string ucx_transports{};  // empty: RDMA alone
  // Works not begun by then are skipped.
  std::optional<std::chrono::steady_clock::time_point> end{};
};

// How a work is paced: thousands of samples for the quantiles of small transfers.
Pace pace_for(const Work& work, const RunSettings& settings);

// Does works: starts their servers, is their client, checks every work to the byte and then times
// it beside its reference. One thread.
class Runner {
 public:
  Runner(const ToolContext& context, const Topology& topology, const RunSettings& settings);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  // Adds a figure for each work to the result, or why there is none. Ends early, as interrupted,
  // when asked to. Throws: Error{failed} naming the work whose bytes were wrong, and
  // Error{unreachable} where a server died.
  void run(const std::vector<Work>& works, Result& result);

 private:
  ServerSpec server_spec(const Work& work, std::uint32_t instance = 0) const;
  std::vector<ServerSpec> servers_ahead(const std::vector<Work>& works, std::size_t from) const;
  void show_progress(const std::vector<Work>& works, std::size_t at);
  bool have_server(const std::vector<Work>& works, std::size_t at, Result& result);
  bool run_one(const Work& work, Result& result);
  Figure measure(const Work& work);
  Figure measure_clients(const Work& work);
  Figure measure_iperf3(const Work& work);
  Figure measure_openssl(const Work& work);
  ClientTuning tuning_for(const Work& work) const;
  Session& session_for(const Work& work);
  bool stop() const;

  const ToolContext& context_;
  Topology topology_;
  RunSettings settings_;
  std::chrono::steady_clock::time_point began_;
  Servers servers_;
  References references_;
  std::unique_ptr<ColdCaches> cold_;
  std::string session_key_;
  std::unique_ptr<Session> session_;  // after the servers: gone before them
};

}  // namespace kvferry::cli::bench
