#pragma once

#include <kvferry/kvferry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if EXAMPLE_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

// Ends the program if a call failed, with its message and its code.
static inline void check(kvferry_code code, kvferry_error* error) {
  if (code == KVFERRY_OK) return;
  fprintf(stderr, "%s\n", kvferry_error_message(error));
  kvferry_error_free(error);
  exit(code);
}

// Copies between ordinary memory and a pool's, wherever that is: what an engine's own kernels do.
static inline void copy_bytes(int32_t device, void* to, const void* from, size_t bytes) {
  if (device == KVFERRY_HOST) {
    memcpy(to, from, bytes);
    return;
  }
#if EXAMPLE_WITH_CUDA
  if (cudaSetDevice(device) == cudaSuccess &&
      cudaMemcpy(to, from, bytes, cudaMemcpyDefault) == cudaSuccess) {
    return;
  }
#endif
  fprintf(stderr, "cannot copy to or from GPU %d\n", (int)device);
  exit(KVFERRY_RESOURCE);
}

// `mib` MiB of a Mistral-Small-3.1 cache (40 layers of 64 KiB blocks) on the first GPU, or on the
// host where there is none.
static inline kvferry_pool* make_pool(uint64_t mib) {
  kvferry_error* error;
  kvferry_shape shape = {.struct_size = sizeof shape};
  check(kvferry_shape_default(&shape, &error), error);
  uint64_t blocks;
  check(kvferry_shape_blocks_for(&shape, mib << 20, &blocks, &error), error);
  const int32_t device = kvferry_cuda_device_count(NULL) > 0 ? 0 : KVFERRY_HOST;
  kvferry_pool* pool;
  check(kvferry_pool_allocate(device, &shape, (uint32_t)blocks, NULL, &pool, &error), error);
  return pool;
}
