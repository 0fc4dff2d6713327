// Pools: memory of kvferry's, and the caller's own with its release.
#include "check.h"

static void allocated(void) {
  const kvferry_shape shape = small_shape();
  kvferry_pool_options options = {
      .struct_size = sizeof options, .name = "cache", .tag = "HND", .writable = 1};
  kvferry_error* error;
  kvferry_pool* pool;
  OK(kvferry_pool_allocate(KVFERRY_HOST, &shape, 8, &options, &pool, &error));
  kvferry_pool_info info = {.struct_size = sizeof info};
  OK(kvferry_pool_get_info(pool, &info, &error));
  CHECK(strcmp(info.name, "cache") == 0 && strcmp(info.tag, "HND") == 0);
  CHECK(info.device == KVFERRY_HOST && info.blocks == 8 && info.block_stride == 128);
  CHECK(info.kv_parts == 1 && info.writable == 1 && info.generation == 1);
  kvferry_shape got = {.struct_size = sizeof got};
  OK(kvferry_pool_get_shape(pool, &got, &error));
  CHECK(memcmp(&got, &shape, sizeof got) == 0);
  void* address = &address;
  FAILS(KVFERRY_INVALID_ARGUMENT, "no layer 3", kvferry_pool_layer(pool, 3, 0, &address, &error));
  CHECK(address == NULL);
  OK(kvferry_pool_revoke(pool, 0, &error));
  OK(kvferry_pool_get_info(pool, &info, &error));
  CHECK(info.generation == 2);
  FAILS(KVFERRY_INVALID_ARGUMENT, "timeout_ns -1", kvferry_pool_revoke(pool, -1, &error));
  kvferry_pool_free(pool);

  OK(kvferry_pool_allocate(KVFERRY_HOST, &shape, 8, NULL, &pool, &error));
  OK(kvferry_pool_get_info(pool, &info, &error));
  CHECK(strcmp(info.name, "kv") == 0 && strcmp(info.tag, "") == 0 && info.writable == 0);
  kvferry_pool_free(pool);
}

static void refused(void) {
  const kvferry_shape shape = small_shape();
  kvferry_pool_options options = {.struct_size = sizeof options, .name = "no/slash"};
  kvferry_error* error;
  kvferry_pool* pool = (kvferry_pool*)&pool;
  FAILS(KVFERRY_INVALID_ARGUMENT, "name",
        kvferry_pool_allocate(KVFERRY_HOST, &shape, 8, &options, &pool, &error));
  CHECK(pool == NULL);
  FAILS(KVFERRY_INVALID_ARGUMENT, "blocks is 0",
        kvferry_pool_allocate(KVFERRY_HOST, &shape, 0, NULL, &pool, &error));
  FAILS(KVFERRY_INVALID_ARGUMENT, "device -2",
        kvferry_pool_allocate(-2, &shape, 8, NULL, &pool, &error));
  FAILS(KVFERRY_RESOURCE, "", kvferry_pool_allocate(999, &shape, 8, NULL, &pool, &error));
  options.name = NULL;
  options.reserved = 1;
  FAILS(KVFERRY_INVALID_ARGUMENT, "reserved",
        kvferry_pool_allocate(KVFERRY_HOST, &shape, 8, &options, &pool, &error));
}

static void count_release(void* user) { ++*(int*)user; }

static void attached(void) {
  static unsigned char memory[6][8 * 64];
  void* bases[6];
  for (int i = 0; i < 6; ++i) bases[i] = memory[i];
  const kvferry_shape shape = small_shape();
  int released = 0;
  kvferry_attach_options options = {.struct_size = sizeof options,
                                    .shape = &shape,
                                    .blocks = 8,
                                    .bases = bases,
                                    .base_count = 6,
                                    .release = count_release,
                                    .release_user = &released};
  kvferry_error* error;
  kvferry_pool* pool;
  OK(kvferry_pool_attach(&options, &pool, &error));
  kvferry_pool_info info = {.struct_size = sizeof info};
  OK(kvferry_pool_get_info(pool, &info, &error));
  CHECK(info.kv_parts == 2 && info.block_stride == 64);
  void* address;
  OK(kvferry_pool_layer(pool, 1, 1, &address, &error));
  CHECK(address == memory[3]);
  // A node that serves it keeps it.
  kvferry_node* node;
  OK(kvferry_node_create(NULL, &node, &error));
  OK(kvferry_node_add(node, pool, &error));
  kvferry_pool_free(pool);
  CHECK(released == 0);
  kvferry_node_free(node);
  CHECK(released == 1);

  options.base_count = 5;
  FAILS(KVFERRY_INVALID_ARGUMENT, "5 addresses", kvferry_pool_attach(&options, &pool, &error));
  CHECK(released == 1 && pool == NULL);  // what was not attached is not released
  options.bases = NULL;
  FAILS(KVFERRY_INVALID_ARGUMENT, "bases is NULL", kvferry_pool_attach(&options, &pool, &error));
  options.shape = NULL;
  FAILS(KVFERRY_INVALID_ARGUMENT, "", kvferry_pool_attach(&options, &pool, &error));
}

static void devices(void) {
  char* why = NULL;
  const int32_t count = kvferry_cuda_device_count(&why);
  CHECK(count >= 0 && (why != NULL) == (count == 0));
  kvferry_string_free(why);
  CHECK(kvferry_cuda_device_count(NULL) == count);
}

void test_pools(void) {
  allocated();
  refused();
  attached();
  devices();
}
