// Pulls the blocks of 1024 tokens from a server and checks them.   client_c [ADDRESS [MEMORY_MIB]]
#include "pool_bytes.h"

enum { kTokens = 1024 };

// Elements of these blocks, in all layers, that are not one.
static uint64_t count_wrong(const kvferry_pool* pool, const uint32_t* ids, size_t count) {
  kvferry_error* error;
  kvferry_pool_info info = {.struct_size = sizeof info};
  kvferry_shape shape = {.struct_size = sizeof shape};
  uint64_t block_bytes, wrong = 0;
  check(kvferry_pool_get_info(pool, &info, &error), error);
  check(kvferry_pool_get_shape(pool, &shape, &error), error);
  check(kvferry_shape_block_bytes(&shape, &block_bytes, &error), error);
  uint16_t* const block = malloc(block_bytes);
  if (block == NULL) abort();
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    void* base;
    check(kvferry_pool_layer(pool, layer, 0, &base, &error), error);
    for (size_t i = 0; i < count; ++i) {
      const unsigned char* const from = (const unsigned char*)base + ids[i] * info.block_stride;
      copy_bytes(info.device, block, from, block_bytes);
      for (size_t j = 0; j < block_bytes / sizeof *block; ++j) wrong += block[j] != 0x3F80;  // bf16
    }
  }
  free(block);
  return wrong;
}

int main(int argc, char** argv) {
  const char* const address = argc > 1 ? argv[1] : "127.0.0.1:5555";
  // The geometry must be the server's; a difference is refused, with a table.
  kvferry_pool* const pool = make_pool(argc > 2 ? strtoull(argv[2], NULL, 10) : 4096);
  kvferry_shape shape = {.struct_size = sizeof shape};
  uint64_t count;
  kvferry_error* error;
  check(kvferry_pool_get_shape(pool, &shape, &error), error);
  check(kvferry_shape_blocks_for_tokens(&shape, kTokens, &count, &error), error);

  const kvferry_node_options options = {.struct_size = sizeof options, .name = "example-client-c"};
  kvferry_node* node;
  kvferry_peer* server;
  check(kvferry_node_create(&options, &node, &error), error);
  check(kvferry_node_add(node, pool, &error), error);
  check(kvferry_node_connect(node, address, NULL, &server, &error), error);

  uint32_t* const ids = malloc(count * sizeof *ids);
  if (ids == NULL) abort();
  for (uint32_t i = 0; i < count; ++i) ids[i] = i;
  kvferry_transfer* transfer;
  check(kvferry_peer_pull(server, pool, ids, ids, count, NULL, &transfer, &error), error);
  check(kvferry_transfer_wait(transfer, &error), error);
  kvferry_report report = {.struct_size = sizeof report};
  check(kvferry_transfer_get_report(transfer, &report, &error), error);

  const uint64_t wrong = count_wrong(pool, ids, count);
  printf("%llu blocks x %llu layers from %s over %s: %.1f GB/s, %s\n",
         (unsigned long long)report.blocks, (unsigned long long)report.layers,
         kvferry_peer_name(server), report.path, (double)report.bytes / report.total_s / 1e9,
         wrong == 0 ? "all ones" : "some elements are WRONG");
  free(ids);
  kvferry_transfer_free(transfer);
  kvferry_peer_free(server);
  kvferry_node_free(node);
  kvferry_pool_free(pool);
  return wrong == 0 ? 0 : KVFERRY_FAILED;
}
