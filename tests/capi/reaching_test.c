// Who may be reached, and by whom: wrong addresses, credentials, permissions.
#include <sys/stat.h>

#include "check.h"

static void nowhere(void) {
  kvferry_error* error;
  kvferry_node* node;
  kvferry_node_options options = {.struct_size = sizeof options, .name = "no good name"};
  FAILS(KVFERRY_INVALID_ARGUMENT, "no good name", kvferry_node_create(&options, &node, &error));
  CHECK(node == NULL);
  OK(kvferry_node_create(NULL, &node, &error));
  kvferry_peer* peer;
  FAILS(KVFERRY_UNREACHABLE, "",
        kvferry_node_connect(node, "unix:/nonexistent/socket", NULL, &peer, &error));
  CHECK(peer == NULL);
  kvferry_connect_options connect = {.struct_size = sizeof connect, .timeout_ns = -1};
  FAILS(KVFERRY_INVALID_ARGUMENT, "timeout_ns -1",
        kvferry_node_connect(node, "unix:/nonexistent/socket", &connect, &peer, &error));
  kvferry_listen_options listen = {.struct_size = sizeof listen, .port = 65536};
  FAILS(KVFERRY_INVALID_ARGUMENT, "65536", kvferry_node_listen(node, &listen, &error));
  listen.port = 0;
  FAILS(KVFERRY_INVALID_ARGUMENT, "socket", kvferry_node_listen(node, &listen, &error));
  listen.permission_count = 1;
  FAILS(KVFERRY_INVALID_ARGUMENT, "permissions is NULL",
        kvferry_node_listen(node, &listen, &error));
  kvferry_node_free(node);
}

// What is wrong with them is said at once.
static void credentials(void) {
  const kvferry_credentials missing = {.struct_size = sizeof missing,
                                       .token_file = "/nonexistent/token"};
  const char* const pools[] = {"kv", NULL};
  const kvferry_permission read_only = {.struct_size = sizeof read_only,
                                        .credential = "decode",
                                        .pools = pools,
                                        .pool_count = 2,
                                        .no_write = 1};
  const kvferry_permission* const permissions[] = {&read_only};
  kvferry_node_options options = {.struct_size = sizeof options, .credentials = &missing};
  kvferry_error* error;
  kvferry_node* node;
  CHECK(kvferry_node_create(&options, &node, &error) != KVFERRY_OK);
  CHECK(strstr(kvferry_error_message(error), "/nonexistent/token") != NULL);
  kvferry_error_free(error);
  options.credentials = NULL;
  options.peer_silence_ns = 1;  // less than a second, rounded up to a millisecond
  CHECK(kvferry_node_create(&options, &node, NULL) == KVFERRY_INVALID_ARGUMENT);
  OK(kvferry_node_create(NULL, &node, &error));
  const kvferry_listen_options listen = {.struct_size = sizeof listen,
                                         .socket_path = "unused",
                                         .permissions = permissions,
                                         .permission_count = 1};
  FAILS(KVFERRY_INVALID_ARGUMENT, "a pool's name is NULL",
        kvferry_node_listen(node, &listen, &error));
  kvferry_node_free(node);
}

// An address beyond loopback needs them.
static void beyond_loopback(void) {
  char socket[400], token[400];
  snprintf(socket, sizeof socket, "%s/beyond", directory);
  snprintf(token, sizeof token, "%s/token", directory);
  FILE* const file = fopen(token, "w");
  if (file == NULL || chmod(token, 0600) != 0) abort();
  fprintf(file, "decode MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n");
  fclose(file);
  const kvferry_credentials known = {.struct_size = sizeof known, .token_file = token};
  const kvferry_node_options with = {.struct_size = sizeof with, .credentials = &known};
  const kvferry_listen_options listen = {
      .struct_size = sizeof listen, .ip = "0.0.0.0", .socket_path = socket};
  kvferry_error* error;
  kvferry_node* node;
  OK(kvferry_node_create(NULL, &node, &error));
  FAILS(KVFERRY_REFUSED, "0.0.0.0", kvferry_node_listen(node, &listen, &error));
  kvferry_node_free(node);
  OK(kvferry_node_create(&with, &node, &error));
  OK(kvferry_node_listen(node, &listen, &error));
  uint16_t port = 0;
  OK(kvferry_node_port(node, &port, &error));
  CHECK(port != 0);
  kvferry_node_free(node);
  remove(token);
}

void test_reaching(void) {
  nowhere();
  credentials();
  beyond_loopback();
}
