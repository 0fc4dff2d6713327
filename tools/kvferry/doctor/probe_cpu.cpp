#include <sched.h>
#include <unistd.h>

#include <charconv>
#include <string>

#include "doctor/probes.hpp"
#include "doctor/read_file.hpp"
#include "path/host_shm/streaming_copy.hpp"

namespace kvferry::cli::doctor {
namespace {

// "avx2" as a whole word of the flags.
bool has_flag(const std::string& flags, const std::string& flag) {
  return (" " + flags + " ").find(" " + flag + " ") != std::string::npos;
}

unsigned usable_cores() {
  cpu_set_t set;
  // Fails on machines of more cores than the set holds (1,024): then all of them, as far as known.
  if (::sched_getaffinity(0, sizeof set, &set) != 0) {
    return static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_ONLN));
  }
  return static_cast<unsigned>(CPU_COUNT(&set));
}

void read_nodes(CpuFacts& facts, const std::string& root) {
  const std::string nodes = root + "/sys/devices/system/node/";
  for (const std::string& name : list_directory(nodes)) {
    int id = 0;
    const char* const end = name.data() + name.size();
    if (!name.starts_with("node") || name.size() == 4) continue;
    const auto [stop, error] = std::from_chars(name.data() + 4, end, id);
    if (error != std::errc{} || stop != end) continue;
    const std::string cores = read_word(nodes + name + "/cpulist");
    if (cores.empty()) continue;  // memory only
    facts.node_ids.push_back(id);
    facts.nodes.push_back(cores);
  }
}

}  // namespace

CpuFacts probe_cpu(const std::string& root) {
  CpuFacts facts;
  const std::string info = read_file(root + "/proc/cpuinfo");
  facts.model = text_field(info, "model name");
  const std::string flags = text_field(info, "flags");
  facts.avx2 = has_flag(flags, "avx2");
  facts.avx512 = has_flag(flags, "avx512f");
  facts.usable = usable_cores();
  facts.online = static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_ONLN));
  facts.usable_list = text_field(read_file(root + "/proc/self/status"), "Cpus_allowed_list");
  facts.copies = path::host::streaming_copies().front().name;
  facts.governor = read_word(root + "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  read_nodes(facts, root);
  return facts;
}

}  // namespace kvferry::cli::doctor
