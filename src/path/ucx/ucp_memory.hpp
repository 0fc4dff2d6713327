#pragma once

#include "path/ucx/ranges.hpp"
#include "path/ucx/ucp_engine.hpp"

namespace kvferry::path::ucx {

// A pool's regions, mapped for UCX. Made and unmapped on the engine's thread.
class UcpRegistration final : public Registration {
 public:
  // Throws: Error{resource}, Error{refused}.
  UcpRegistration(std::shared_ptr<UcpEngine> engine, std::shared_ptr<detail::PoolImpl> pool);
  ~UcpRegistration() override;

  const std::vector<wire::UcxRegion>& regions() const noexcept override { return regions_; }
  // Of the region that an address of the pool lies in; nullptr once it is unmapped.
  ucp_mem_h at(std::uint64_t address) const noexcept {
    return handles_.empty() ? nullptr : handles_[ranges_.find(address)];
  }
  void unmap() noexcept;

 private:
  void map(const memory::Region& region);
  static void unmap_all(UcpEngine& engine, std::vector<ucp_mem_h>& handles) noexcept;

  const std::shared_ptr<UcpEngine> engine_;
  std::shared_ptr<detail::PoolImpl> pool_;  // while it is mapped
  Ranges ranges_;
  std::vector<ucp_mem_h> handles_;
  std::vector<wire::UcxRegion> regions_;
};

// The keys of a peer's pool, unpacked for one endpoint. Made and released on the engine's thread.
class RemoteKeys {
 public:
  // Throws: Error{refused}.
  RemoteKeys(std::shared_ptr<UcpEngine> engine, const std::shared_ptr<Endpoint>& endpoint,
             const std::vector<wire::UcxRegion>& regions);
  ~RemoteKeys();
  RemoteKeys(const RemoteKeys&) = delete;
  RemoteKeys& operator=(const RemoteKeys&) = delete;

  bool is_for(const std::shared_ptr<Endpoint>& endpoint) const { return endpoint_ == endpoint; }
  ucp_rkey_h at(std::size_t region) const noexcept { return keys_[region]; }
  void release() noexcept;

 private:
  const std::shared_ptr<UcpEngine> engine_;
  const std::shared_ptr<Endpoint> endpoint_;
  std::vector<ucp_rkey_h> keys_;
};

}  // namespace kvferry::path::ucx
