#include "path/ucx/ucp_memory.hpp"

#include <fmt/format.h>

#include <cstring>

#include "path/ucx/bind_device.hpp"
#include "path/ucx/ucp_endpoint.hpp"

namespace kvferry::path::ucx {

UcpRegistration::UcpRegistration(std::shared_ptr<UcpEngine> engine,
                                 std::shared_ptr<detail::PoolImpl> pool)
    : engine_(std::move(engine)), pool_(std::move(pool)) {
  bind_device(pool_->device);
  try {
    for (const auto& region : pool_->regions) map(*region);
  } catch (...) {
    unmap();
    throw;
  }
}

void UcpRegistration::map(const memory::Region& region) {
  const UcpLibrary& ucp = engine_->ucp();
  ucp_mem_map_params_t params{};
  params.field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH |
                      UCP_MEM_MAP_PARAM_FIELD_PROT | UCP_MEM_MAP_PARAM_FIELD_MEMORY_TYPE;
  params.address = region.base();
  params.length = region.bytes();
  params.memory_type = region.device().is_cuda() ? UCS_MEMORY_TYPE_CUDA : UCS_MEMORY_TYPE_HOST;
  params.prot =
      UCP_MEM_MAP_PROT_LOCAL_READ | UCP_MEM_MAP_PROT_LOCAL_WRITE | UCP_MEM_MAP_PROT_REMOTE_READ;
  if (pool_->options.writable) params.prot |= UCP_MEM_MAP_PROT_REMOTE_WRITE;
  ucp_mem_h handle = nullptr;
  if (const auto status = ucp.mem_map(engine_->context(), &params, &handle); status != UCS_OK)
    throw Error(
        ErrorCode::resource,
        fmt::format("UCX cannot register {} bytes of pool '{}': {}; check ulimit -l, and for "
                    "GPU memory docs/rdma.md",
                    region.bytes(), pool_->options.name, ucp.text_of(status)));
  handles_.push_back(handle);
  engine_->mapped(handle);
  void* key = nullptr;
  std::size_t bytes = 0;
  if (const auto status = ucp.rkey_pack(engine_->context(), handle, &key, &bytes); status != UCS_OK)
    throw Error(ErrorCode::resource, fmt::format("UCX makes no key for pool '{}': {}",
                                                 pool_->options.name, ucp.text_of(status)));
  const auto* first = static_cast<const std::byte*>(key);
  regions_.push_back(
      {reinterpret_cast<std::uintptr_t>(region.base()), region.bytes(), {first, first + bytes}});
  ucp.rkey_buffer_release(key);
  ranges_.add(regions_.back().base, regions_.back().bytes);
}

void UcpRegistration::unmap_all(UcpEngine& engine, std::vector<ucp_mem_h>& handles) noexcept {
  for (const ucp_mem_h handle : handles) engine.unmap(handle);
  handles.clear();
}

void UcpRegistration::unmap() noexcept {
  unmap_all(*engine_, handles_);
  pool_.reset();
}

// From any thread: what is mapped goes on the engine's. A stopped engine has unmapped everything.
UcpRegistration::~UcpRegistration() {
  if (handles_.empty()) return;
  engine_->post([engine = engine_, handles = std::move(handles_), pool = pool_]() mutable {
    unmap_all(*engine, handles);
  });
}

RemoteKeys::RemoteKeys(std::shared_ptr<UcpEngine> engine, const std::shared_ptr<Endpoint>& endpoint,
                       const std::vector<wire::UcxRegion>& regions)
    : engine_(std::move(engine)), endpoint_(endpoint) {
  const UcpLibrary& ucp = engine_->ucp();
  for (const wire::UcxRegion& region : regions) {
    ucp_rkey_h key = nullptr;
    if (const auto status = ucp.ep_rkey_unpack(endpoint->handle(), region.key.data(), &key);
        status != UCS_OK) {
      release();
      throw Error(ErrorCode::refused,
                  fmt::format("UCX cannot use the peer's key ({}); do both sides run the same UCX?",
                              ucp.text_of(status)));
    }
    keys_.push_back(key);
  }
}

void RemoteKeys::release() noexcept {
  for (const ucp_rkey_h key : keys_) engine_->ucp().rkey_destroy(key);
  keys_.clear();
}

RemoteKeys::~RemoteKeys() {
  if (keys_.empty()) return;
  engine_->post([engine = engine_, keys = std::move(keys_)] {
    for (const ucp_rkey_h key : keys) engine->ucp().rkey_destroy(key);
  });
}

}  // namespace kvferry::path::ucx
