#include <memory>

#include "capi/convert.hpp"
#include "capi/sized.hpp"

namespace kvferry::capi {
namespace {

// Tells the caller once that its memory is free again.
struct Lease {
  explicit Lease(const kvferry_attach_options& options)
      : release(options.release), user(options.release_user) {}
  ~Lease() {
    if (taken && release != nullptr) release(user);
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  void (*release)(void*);
  void* user;
  bool taken = false;  // set once attaching has succeeded
};

Device to_device(std::int32_t device) {
  if (device == KVFERRY_HOST) return Device::host();
  if (device < 0)
    refuse("device " + std::to_string(device) +
           ": it is KVFERRY_HOST (-1) or a CUDA ordinal from 0");
  return Device::cuda(device);
}

AttachOptions to_attach_options(const kvferry_attach_options& given) {
  check_reserved(given.reserved, "attach_options");
  if (given.bases == nullptr && given.base_count > 0) refuse("bases is NULL");
  AttachOptions options;
  options.shape = to_shape(given.shape);
  options.blocks = given.blocks;
  options.bases.assign(given.bases, given.bases + given.base_count);
  options.block_stride = given.block_stride;
  options.options = to_pool_options(given.options);
  return options;
}

kvferry_pool_info describe(const Pool& pool) {
  const Device device = pool.device();
  return {.struct_size = 0,
          .name = pool.name().c_str(),
          .tag = pool.tag().c_str(),
          .generation = pool.generation(),
          .block_stride = pool.block_stride(),
          .device = device.is_cuda() ? device.ordinal : KVFERRY_HOST,
          .blocks = pool.blocks(),
          .kv_parts = pool.kv_parts(),
          .writable = pool.writable() ? 1u : 0u};
}

}  // namespace

PoolOptions to_pool_options(const kvferry_pool_options* options) {
  const kvferry_pool_options given = read_options(options, "pool_options");
  check_reserved(given.reserved, "pool_options");
  return {.name = text_or(given.name, PoolOptions{}.name.c_str()),
          .tag = text_or(given.tag, ""),
          .writable = given.writable != 0};
}

std::chrono::nanoseconds to_timeout(std::int64_t timeout_ns) {
  if (timeout_ns < 0)
    refuse("timeout_ns " + std::to_string(timeout_ns) + ": a time to wait is not negative");
  return std::chrono::nanoseconds(timeout_ns);
}

std::chrono::milliseconds to_timeout_ms(std::int64_t timeout_ns) {
  return std::chrono::ceil<std::chrono::milliseconds>(to_timeout(timeout_ns));
}

}  // namespace kvferry::capi

using kvferry::Pool;
using namespace kvferry::capi;

extern "C" {

int32_t kvferry_cuda_device_count(char** why) {
  if (why != nullptr) *why = nullptr;
  int32_t count = 0;
  guard(nullptr, [&] {
    std::string reason;
    count = kvferry::cuda_device_count(&reason);
    if (why != nullptr && count == 0) *why = give(reason);
  });
  return count;
}

kvferry_code kvferry_pool_allocate(int32_t device, const kvferry_shape* shape, uint32_t blocks,
                                   const kvferry_pool_options* options, kvferry_pool** pool,
                                   kvferry_error** error) {
  return produce(pool, "pool", error, [&] {
    return make<kvferry_pool>(
        Pool::allocate(to_device(device), to_shape(shape), blocks, to_pool_options(options)));
  });
}

kvferry_code kvferry_pool_attach(const kvferry_attach_options* options, kvferry_pool** pool,
                                 kvferry_error** error) {
  return produce(pool, "pool", error, [&] {
    const kvferry_attach_options given = read_sized(need(options, "options"), "attach_options");
    kvferry::AttachOptions attach = to_attach_options(given);
    const auto lease = std::make_shared<Lease>(given);
    attach.keep_alive = lease;
    kvferry_pool* const made = make<kvferry_pool>(Pool::attach(attach));
    lease->taken = true;
    return made;
  });
}

kvferry_code kvferry_pool_get_info(const kvferry_pool* pool, kvferry_pool_info* info,
                                   kvferry_error** error) {
  return guard(error, [&] { write_sized(describe(need(pool, "pool").pool), info, "pool_info"); });
}

kvferry_code kvferry_pool_get_shape(const kvferry_pool* pool, kvferry_shape* shape,
                                    kvferry_error** error) {
  return guard(error, [&] { give_shape(need(pool, "pool").pool.shape(), shape); });
}

kvferry_code kvferry_pool_layer(const kvferry_pool* pool, uint32_t layer, uint32_t part,
                                void** address, kvferry_error** error) {
  return produce(address, "address", error,
                 [&] { return need(pool, "pool").pool.layer(layer, part); });
}

kvferry_code kvferry_pool_revoke(kvferry_pool* pool, int64_t timeout_ns, kvferry_error** error) {
  return guard(error, [&] { need(pool, "pool").pool.revoke(to_timeout_ms(timeout_ns)); });
}

void kvferry_pool_free(kvferry_pool* pool) { delete pool; }

}  // extern "C"
