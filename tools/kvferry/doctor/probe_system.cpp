#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <utility>

#include "doctor/probes.hpp"
#include "doctor/read_file.hpp"

namespace kvferry::cli::doctor {
namespace {

// The inode numbers that Linux gives the namespaces it boots with (include/linux/proc_ns.h).
constexpr std::array<std::pair<std::string_view, std::uint64_t>, 4> kBootNamespaces{{
    {"ipc", 0xEFFFFFFF},
    {"user", 0xEFFFFFFD},
    {"pid", 0xEFFFFFFC},
    {"cgroup", 0xEFFFFFFB},
}};

std::string link_of(const std::string& path) {
  std::array<char, PATH_MAX> text{};
  const ssize_t size = ::readlink(path.c_str(), text.data(), text.size());
  return size > 0 ? std::string(text.data(), static_cast<std::size_t>(size)) : std::string();
}

std::optional<bool> is_initial(std::string_view kind, const std::string& id,
                               const std::string& root) {
  for (const auto& [name, number] : kBootNamespaces) {
    if (name == kind) return id == fmt::format("{}:[{}]", name, number);
  }
  // No fixed number: the first process has it, where we may look and it is the machine's first.
  const std::string first = link_of(fmt::format("{}/proc/1/ns/{}", root, kind));
  if (first.empty()) return std::nullopt;
  const std::string pid = link_of(root + "/proc/self/ns/pid");
  if (pid != fmt::format("pid:[{}]", kBootNamespaces[2].second)) return std::nullopt;
  return id == first;
}

std::string container_sign(const std::string& root) {
  std::error_code error;
  for (const char* const file : {"/.dockerenv", "/run/.containerenv"}) {
    if (std::filesystem::exists(root + file, error)) return fmt::format("{} exists", file);
  }
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here sets the environment
  if (const char* const kind = std::getenv("container"); kind != nullptr && *kind != '\0') {
    return fmt::format("the variable container is {}", kind);
  }
  // NOLINTNEXTLINE(concurrency-mt-unsafe): as above
  if (std::getenv("KUBERNETES_SERVICE_HOST") != nullptr) return "a pod of Kubernetes";
  const std::string groups = read_file(root + "/proc/1/cgroup");
  for (const char* const word : {"docker", "kubepods", "containerd", "libpod", "lxc"}) {
    if (groups.find(word) != std::string::npos) return fmt::format("{} in /proc/1/cgroup", word);
  }
  return {};
}

// Sums the third column of uid_map: how many ids are mapped.
std::optional<std::uint64_t> mapped_ids(const std::string& text) {
  std::optional<std::uint64_t> sum;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    unsigned long long inside = 0, outside = 0, count = 0;
    const std::string line = text.substr(at, end - at);
    if (std::sscanf(line.c_str(), "%llu %llu %llu", &inside, &outside, &count) == 3) {
      sum = sum.value_or(0) + count;
    }
    at = end + 1;
  }
  return sum;
}

}  // namespace

SystemFacts probe_system(const std::string& root) {
  SystemFacts facts;
  utsname name{};
  if (::uname(&name) == 0) {
    facts.kernel = name.release;
    facts.machine = name.machine;
  }
  for (const char* const kind : {"pid", "ipc", "user", "mnt", "cgroup", "net"}) {
    const std::string id = link_of(fmt::format("{}/proc/self/ns/{}", root, kind));
    if (!id.empty()) facts.namespaces.push_back({kind, id, is_initial(kind, id, root)});
  }
  facts.container = container_sign(root);
  facts.user_ids = mapped_ids(read_file(root + "/proc/self/uid_map"));
  facts.uid = ::geteuid();
  return facts;
}

NvidiaFacts probe_nvidia(const std::string& root) {
  NvidiaFacts facts;
  // "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul ..."; the open module says
  // "NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  ...".
  const std::string line =
      text_field(read_file(root + "/proc/driver/nvidia/version"), "NVRM version");
  for (std::size_t at = 0; at < line.size() && facts.module_version.empty();) {
    const std::size_t end = std::min(line.find(' ', at), line.size());
    const std::string word = line.substr(at, end - at);
    if (word.find('.') != std::string::npos &&
        word.find_first_not_of("0123456789.") == std::string::npos) {
      facts.module_version = word;
    }
    at = end + 1;
  }
  if (facts.module_version.empty() && !line.empty()) facts.module_version = line;
  for (const std::string& name : list_directory(root + "/dev")) {
    const bool gpu = name.starts_with("nvidia") && name.size() > 6 &&
                     name.find_first_not_of("0123456789", 6) == std::string::npos;
    if (!gpu && name != "nvidiactl") continue;
    const std::string path = "/dev/" + name;
    if (gpu) facts.nodes.push_back(path);
    if (::access((root + path).c_str(), R_OK | W_OK) != 0) facts.closed_nodes.push_back(path);
  }
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here sets the environment
  if (const char* const value = std::getenv("CUDA_VISIBLE_DEVICES")) facts.visible_devices = value;
  return facts;
}

HostFacts probe_host() {
  return {probe_system(), probe_memory(), probe_limits(), probe_cpu(),
          probe_kernel(), probe_socket(), probe_nvidia(), probe_network()};
}

}  // namespace kvferry::cli::doctor
