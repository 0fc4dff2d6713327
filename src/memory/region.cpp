#include "memory/region.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>

#include "kvferry/error.hpp"

namespace kvferry::memory {

namespace {

RegionId random_id() {
  RegionId id;
  std::size_t have = 0;
  while (have < id.size()) {
    const ssize_t got = ::getrandom(id.data() + have, id.size() - have, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      throw Error(ErrorCode::resource,
                  fmt::format("getrandom failed: {}; kvferry needs random numbers to name memory",
                              std::strerror(errno)));
    }
    have += static_cast<std::size_t>(got);
  }
  return id;
}

// Expired entries are swept whenever the table has doubled since the last sweep, so a process that
// makes and drops pools all day keeps a small table, and remembering costs O(log n) on average.
class LocalRegions {
 public:
  void remember(const std::shared_ptr<Region>& region) {
    const std::lock_guard lock(mutex_);
    if (by_id_.size() >= sweep_at_) {
      std::erase_if(by_id_, [](const auto& entry) { return entry.second.expired(); });
      sweep_at_ = std::max<std::size_t>(64, 2 * by_id_.size());
    }
    by_id_[region->id()] = region;
  }

  std::shared_ptr<Region> find(const RegionId& id) {
    const std::lock_guard lock(mutex_);
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second.lock();
  }

 private:
  std::mutex mutex_;
  std::map<RegionId, std::weak_ptr<Region>> by_id_;
  std::size_t sweep_at_ = 64;
};

LocalRegions& local_regions() {
  static LocalRegions table;
  return table;
}

}  // namespace

Region::Region() : id_(random_id()) {}

RegionOffer offer(const Region& region) {
  return {region.id(), region.bytes(), region.gpu(), region.chunks()};
}

void remember_local(const std::shared_ptr<Region>& region) { local_regions().remember(region); }

std::shared_ptr<Region> find_local(const RegionId& id) { return local_regions().find(id); }

}  // namespace kvferry::memory
