#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>

#include "base/unique_fd.hpp"
#include "doctor/probes.hpp"
#include "doctor/read_file.hpp"
#include "memory/available_memory.hpp"
#include "memory/mapped_range.hpp"

namespace kvferry::cli::doctor {
namespace {

// What cgroup v1 writes where there is no limit: the largest multiple of a page in 63 bits.
constexpr std::uint64_t kNoLimitV1 = std::uint64_t{1} << 62;

void tighten(std::optional<std::uint64_t>& limit, const std::string& file) {
  const auto value = read_number(file);
  if (value && *value < kNoLimitV1) limit = std::min(limit.value_or(*value), *value);
}

// Every ancestor's limit binds. Inside a cgroup namespace, or where a container mounts only its own
// group, the group's file lies at the top, which is tried as well.
void tighten_along(std::optional<std::uint64_t>& limit, const std::string& mount, std::string group,
                   const char* file) {
  for (unsigned depth = 0; depth < 64; ++depth) {
    tighten(limit, mount + (group == "/" ? "" : group) + "/" + file);
    if (group.empty() || group == "/") return;
    group.resize(std::max<std::size_t>(group.rfind('/'), 1) == 1 ? 1 : group.rfind('/'));
  }
}

std::optional<std::uint64_t> cgroup_limit(const std::string& root) {
  std::optional<std::uint64_t> limit;
  const std::string groups = read_file(root + "/proc/self/cgroup");
  const std::string mount = root + "/sys/fs/cgroup";
  for (std::size_t at = 0; at < groups.size();) {
    const std::size_t end = std::min(groups.find('\n', at), groups.size());
    const std::string line = groups.substr(at, end - at);
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second != std::string::npos && line.substr(second + 1).starts_with('/')) {
      const std::string kind = line.substr(first + 1, second - first - 1);
      const std::string group = line.substr(second + 1);
      if (kind.empty()) tighten_along(limit, mount, group, "memory.max");
      if (("," + kind + ",").find(",memory,") != std::string::npos) {
        tighten_along(limit, mount + "/memory", group, "memory.limit_in_bytes");
      }
    }
    at = end + 1;
  }
  return limit;
}

// Whether the kernel makes huge pages of a memfd when asked, as pools do (memory::prefault).
bool tries_collapse() {
  constexpr int kAdviseCollapse = 25;  // MADV_COLLAPSE, Linux 6.1
  constexpr std::uint64_t kBytes = 2 * memory::kHugePage;
  const UniqueFd fd(::memfd_create("kvferry-doctor", MFD_CLOEXEC));
  if (!fd || ::ftruncate(fd.get(), kBytes) != 0) return false;
  const memory::MappedRange range = memory::map_shared(fd.get(), 0, kBytes, true);
  if (range.address() == nullptr) return false;
  // One byte of each: a range without any page is not looked at.
  for (const std::uint64_t at : {std::uint64_t{0}, memory::kHugePage}) {
    *static_cast<volatile std::byte*>(range.address() + at) = std::byte{0};
  }
  return ::madvise(range.address(), kBytes, kAdviseCollapse) == 0;
}

std::optional<std::uint64_t> times_1024(std::optional<std::uint64_t> kib) {
  if (kib) *kib *= 1024;
  return kib;
}

std::optional<std::uint64_t> soft_limit(int which) {
  rlimit limit{};
  // A limit that cannot be read is none that we know of.
  if (::getrlimit(static_cast<__rlimit_resource_t>(which), &limit) != 0) return std::nullopt;
  if (limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  return limit.rlim_cur;
}

}  // namespace

MemoryFacts probe_memory(const std::string& root) {
  MemoryFacts facts;
  const std::string info = read_file(root + "/proc/meminfo");
  facts.total = times_1024(field_of(info, "MemTotal"));
  facts.available = memory::available_host_bytes(root);
  facts.cgroup_limit = cgroup_limit(root);
  struct statvfs shm{};
  if (::statvfs((root + "/dev/shm").c_str(), &shm) == 0) {
    facts.shm_bytes = static_cast<std::uint64_t>(shm.f_blocks) * shm.f_frsize;
    facts.shm_free = static_cast<std::uint64_t>(shm.f_bavail) * shm.f_frsize;
  }
  const std::string huge = root + "/sys/kernel/mm/transparent_hugepage/";
  facts.thp = bracketed(read_word(huge + "enabled"));
  facts.shmem_thp = bracketed(read_word(huge + "shmem_enabled"));
  facts.huge_total = field_of(info, "HugePages_Total");
  facts.huge_free = field_of(info, "HugePages_Free");
  facts.huge_bytes = times_1024(field_of(info, "Hugepagesize"));
  // Writing beyond a limit on file sizes would kill us (SIGXFSZ).
  const auto file_bytes = soft_limit(RLIMIT_FSIZE);
  facts.collapses = (!file_bytes || *file_bytes >= (std::uint64_t{4} << 20)) && tries_collapse();
  return facts;
}

LimitFacts probe_limits() {
  LimitFacts facts;
  facts.memlock = soft_limit(RLIMIT_MEMLOCK);
  facts.files = soft_limit(RLIMIT_NOFILE);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max != RLIM_INFINITY) {
    facts.files_hard = files.rlim_max;
  }
  facts.file_bytes = soft_limit(RLIMIT_FSIZE);
  facts.address_space = soft_limit(RLIMIT_AS);
  facts.processes = soft_limit(RLIMIT_NPROC);
  return facts;
}

}  // namespace kvferry::cli::doctor
