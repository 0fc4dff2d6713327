// The C ABI from C.   capi_test DIRECTORY (0700, for its sockets)
#include "check.h"

int checks_failed = 0;
const char* directory;

kvferry_shape small_shape(void) {
  kvferry_shape shape = {.struct_size = sizeof shape,
                         .layers = 3,
                         .kv = 2,
                         .kv_heads = 1,
                         .head_dim = 8,
                         .block_tokens = 4,
                         .dtype = KVFERRY_FP16};
  return shape;
}

kvferry_pool* small_pool(unsigned char fill, uint32_t writable) {
  const kvferry_shape shape = small_shape();
  const kvferry_pool_options options = {.struct_size = sizeof options, .writable = writable};
  kvferry_error* error;
  kvferry_pool* pool;
  OK(kvferry_pool_allocate(KVFERRY_HOST, &shape, 8, &options, &pool, &error));
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    void* address;
    OK(kvferry_pool_layer(pool, layer, 0, &address, &error));
    memset(address, fill, 8 * 128);
  }
  return pool;
}

unsigned char first_byte(const kvferry_pool* pool, uint32_t layer, uint32_t block) {
  kvferry_error* error;
  void* address;
  OK(kvferry_pool_layer(pool, layer, 0, &address, &error));
  return ((const unsigned char*)address)[block * 128];
}

two_nodes connect_two(const kvferry_node_options* options) {
  static int number = 0;
  char socket[400], address[420];
  snprintf(socket, sizeof socket, "%s/%d", directory, ++number);
  snprintf(address, sizeof address, "unix:%s", socket);
  const kvferry_listen_options listen = {
      .struct_size = sizeof listen, .no_tcp = 1, .socket_path = socket};
  two_nodes made = {small_pool(0x5a, 1), small_pool(0, 0), NULL, NULL, NULL};
  kvferry_error* error;
  OK(kvferry_node_create(options, &made.them, &error));
  OK(kvferry_node_create(NULL, &made.us, &error));
  OK(kvferry_node_add(made.them, made.their_pool, &error));
  OK(kvferry_node_add(made.us, made.our_pool, &error));
  OK(kvferry_node_listen(made.them, &listen, &error));
  OK(kvferry_node_connect(made.us, address, NULL, &made.peer, &error));
  return made;
}

void free_two(two_nodes* nodes) {
  kvferry_peer_free(nodes->peer);
  kvferry_node_free(nodes->us);
  kvferry_node_free(nodes->them);
  kvferry_pool_free(nodes->our_pool);
  kvferry_pool_free(nodes->their_pool);
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: capi_test DIRECTORY (0700, for its sockets)\n");
    return 2;
  }
  directory = argv[1];
  test_values();
  test_pools();
  test_nodes();
  test_reaching();
  test_null();
  test_any_order();
  printf("kvferry %s: %s\n", kvferry_build(), checks_failed == 0 ? "ok" : "FAILED");
  return checks_failed == 0 ? 0 : 1;
}
