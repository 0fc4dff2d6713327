// Serves a KV cache filled with ones until Ctrl-C.   server_c [PORT [MEMORY_MIB]]
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "pool_bytes.h"

static void fill_with_ones(const kvferry_pool* pool) {
  kvferry_error* error;
  kvferry_pool_info info = {.struct_size = sizeof info};
  kvferry_shape shape = {.struct_size = sizeof shape};
  check(kvferry_pool_get_info(pool, &info, &error), error);
  check(kvferry_pool_get_shape(pool, &shape, &error), error);
  const size_t elements = info.blocks * info.block_stride / sizeof(uint16_t);
  uint16_t* const ones = malloc(elements * sizeof *ones);
  if (ones == NULL) abort();
  for (size_t i = 0; i < elements; ++i) ones[i] = 0x3F80;  // bf16
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    void* address;
    check(kvferry_pool_layer(pool, layer, 0, &address, &error), error);
    copy_bytes(info.device, address, ones, elements * sizeof *ones);
  }
  free(ones);
}

// On the node's own thread: says what happened and returns.
static void tell(void* user, const kvferry_event* event) {
  (void)user;
  switch (event->kind) {
    case KVFERRY_EVENT_CONNECTED: printf("%s connected\n", event->peer); break;
    case KVFERRY_EVENT_DISCONNECTED: printf("%s left\n", event->peer); break;
    case KVFERRY_EVENT_REFUSED: printf("%s refused: %s\n", event->peer, event->message); break;
    case KVFERRY_EVENT_SERVED:
      printf("%s moved %llu blocks, %.1f GB/s\n", event->peer, (unsigned long long)event->blocks,
             (double)event->bytes / event->seconds / 1e9);
      break;
    default: break;  // of a newer library
  }
  fflush(stdout);
}

int main(int argc, char** argv) {
  // Before the node starts its threads, so that the signals reach sigwait below and nobody else.
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGINT);
  sigaddset(&stop, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stop, NULL);

  kvferry_error* error;
  kvferry_pool* const pool = make_pool(argc > 2 ? strtoull(argv[2], NULL, 10) : 4096);
  fill_with_ones(pool);

  // A directory of our own for the socket: nobody else can take its name.
  char directory[] = "/tmp/kvferry-example-XXXXXX", socket[64];
  if (mkdtemp(directory) == NULL) return KVFERRY_RESOURCE;
  snprintf(socket, sizeof socket, "%s/socket", directory);
  const kvferry_node_options options = {
      .struct_size = sizeof options, .name = "example-server-c", .on_event = tell};
  const kvferry_listen_options listen = {.struct_size = sizeof listen,
                                         .port = argc > 1 ? (uint32_t)atoi(argv[1]) : 5555,
                                         .socket_path = socket};
  kvferry_node* node;
  uint16_t port;
  check(kvferry_node_create(&options, &node, &error), error);
  check(kvferry_node_add(node, pool, &error), error);
  check(kvferry_node_listen(node, &listen, &error), error);
  check(kvferry_node_port(node, &port, &error), error);
  printf("serving at 127.0.0.1:%u\n", (unsigned)port);
  fflush(stdout);

  int signal_number;
  sigwait(&stop, &signal_number);
  kvferry_node_free(node);
  kvferry_pool_free(pool);
  rmdir(directory);
  return 0;
}
