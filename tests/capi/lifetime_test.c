// NULL everywhere, and handles freed in every order.
#include "check.h"

#define NULL_FAILS(call) FAILS(KVFERRY_INVALID_ARGUMENT, "NULL", call)

static void null_results(two_nodes* n) {
  kvferry_error* error;
  const uint32_t id = 0;
  const kvferry_shape shape = small_shape();
  NULL_FAILS(kvferry_shape_default(NULL, &error));
  NULL_FAILS(kvferry_shape_block_bytes(&shape, NULL, &error));
  NULL_FAILS(kvferry_shape_blocks_for(&shape, 1, NULL, &error));
  NULL_FAILS(kvferry_shape_blocks_for_tokens(&shape, 1, NULL, &error));
  NULL_FAILS(kvferry_dtype_parse("bf16", NULL, &error));
  NULL_FAILS(kvferry_pool_allocate(KVFERRY_HOST, &shape, 1, NULL, NULL, &error));
  NULL_FAILS(kvferry_pool_attach(NULL, NULL, &error));
  NULL_FAILS(kvferry_pool_get_info(n->our_pool, NULL, &error));
  NULL_FAILS(kvferry_pool_get_shape(n->our_pool, NULL, &error));
  NULL_FAILS(kvferry_pool_layer(n->our_pool, 0, 0, NULL, &error));
  NULL_FAILS(kvferry_node_create(NULL, NULL, &error));
  NULL_FAILS(kvferry_node_listen(n->us, NULL, &error));
  NULL_FAILS(kvferry_node_port(n->us, NULL, &error));
  NULL_FAILS(kvferry_node_connect(n->us, "unix:/x", NULL, NULL, &error));
  NULL_FAILS(kvferry_node_peers(n->us, NULL, 0, NULL, &error));
  NULL_FAILS(kvferry_node_event_fd(n->us, NULL, &error));
  NULL_FAILS(kvferry_node_next_completion(n->us, NULL, &error));
  NULL_FAILS(kvferry_node_next_notice(n->us, NULL, &error));
  NULL_FAILS(kvferry_peer_explain(n->peer, NULL, &error));
  NULL_FAILS(kvferry_peer_pools(n->peer, NULL, &error));
  NULL_FAILS(kvferry_peer_pull(n->peer, n->our_pool, &id, &id, 1, NULL, NULL, &error));
  NULL_FAILS(kvferry_peer_prepare_pull(n->peer, n->our_pool, &id, &id, 1, NULL, NULL, &error));
}

static void null_handles(two_nodes* n) {
  kvferry_error* error;
  const kvferry_shape shape = small_shape();
  const uint32_t id = 0;
  kvferry_shape out = small_shape();
  kvferry_pool* pool;
  kvferry_peer* peer;
  kvferry_notice* notice;
  kvferry_pool_list* list;
  kvferry_transfer* transfer;
  kvferry_prepared* prepared;
  kvferry_pool_info info = {.struct_size = sizeof info};
  kvferry_completion completion = {.struct_size = sizeof completion};
  kvferry_notice_info told = {.struct_size = sizeof told};
  kvferry_report report = {.struct_size = sizeof report};
  kvferry_remote_pool remote = {.struct_size = sizeof remote};
  const volatile uint32_t* word;
  char* json;
  void* address;
  uint64_t value;
  uint16_t port;
  size_t count;
  int32_t number;
  int fd;
  NULL_FAILS(kvferry_shape_from_model_config(NULL, 0, &out, &error));
  NULL_FAILS(kvferry_shape_from_model_config("{}", 2, NULL, &error));
  NULL_FAILS(kvferry_shape_block_bytes(NULL, &value, &error));
  NULL_FAILS(kvferry_dtype_parse(NULL, &number, &error));
  NULL_FAILS(kvferry_pool_allocate(KVFERRY_HOST, NULL, 1, NULL, &pool, &error));
  NULL_FAILS(kvferry_pool_attach(NULL, &pool, &error));
  NULL_FAILS(kvferry_pool_get_info(NULL, &info, &error));
  NULL_FAILS(kvferry_pool_get_shape(NULL, &out, &error));
  NULL_FAILS(kvferry_pool_layer(NULL, 0, 0, &address, &error));
  NULL_FAILS(kvferry_pool_revoke(NULL, 0, &error));
  NULL_FAILS(kvferry_node_add(NULL, n->our_pool, &error));
  NULL_FAILS(kvferry_node_add(n->us, NULL, &error));
  NULL_FAILS(kvferry_node_listen(NULL, NULL, &error));
  NULL_FAILS(kvferry_node_port(NULL, &port, &error));
  NULL_FAILS(kvferry_node_connect(NULL, "unix:/x", NULL, &peer, &error));
  NULL_FAILS(kvferry_node_connect(n->us, NULL, NULL, &peer, &error));
  NULL_FAILS(kvferry_node_peers(NULL, NULL, 0, &count, &error));
  NULL_FAILS(kvferry_node_event_fd(NULL, &fd, &error));
  CHECK(fd == -1);
  NULL_FAILS(kvferry_node_next_completion(NULL, &completion, &error));
  NULL_FAILS(kvferry_node_next_notice(NULL, &notice, &error));
  NULL_FAILS(kvferry_notice_get_info(NULL, &told, &error));
  NULL_FAILS(kvferry_peer_explain(NULL, &json, &error));
  NULL_FAILS(kvferry_peer_pools(NULL, &list, &error));
  NULL_FAILS(kvferry_pool_list_get(NULL, 0, &remote, &error));
  NULL_FAILS(kvferry_pool_list_get_shape(NULL, 0, &out, &error));
  NULL_FAILS(kvferry_peer_pull(NULL, n->our_pool, &id, &id, 1, NULL, &transfer, &error));
  NULL_FAILS(kvferry_peer_push(n->peer, NULL, &id, &id, 1, NULL, &transfer, &error));
  NULL_FAILS(kvferry_peer_pull(n->peer, n->our_pool, &id, NULL, 1, NULL, &transfer, &error));
  NULL_FAILS(kvferry_peer_prepare(n->peer, NULL, NULL, &error));
  NULL_FAILS(kvferry_peer_prepare(NULL, n->our_pool, NULL, &error));
  NULL_FAILS(kvferry_peer_prepare_push(NULL, n->our_pool, &id, &id, 1, NULL, &prepared, &error));
  NULL_FAILS(kvferry_prepared_post(NULL, &transfer, &error));
  NULL_FAILS(kvferry_prepared_capture(NULL, NULL, &error));
  NULL_FAILS(kvferry_prepared_status_word(NULL, &word, &error));
  NULL_FAILS(kvferry_transfer_poll(NULL, &number, &error));
  NULL_FAILS(kvferry_transfer_wait(NULL, &error));
  NULL_FAILS(kvferry_transfer_wait_for(NULL, 0, &number, &error));
  NULL_FAILS(kvferry_transfer_notify_completion(NULL, 0, &number, &error));
  NULL_FAILS(kvferry_transfer_get_report(NULL, &report, &error));
  NULL_FAILS(kvferry_transfer_status_word(NULL, &word, &error));
  CHECK(kvferry_shape_block_bytes(&shape, NULL, NULL) == KVFERRY_INVALID_ARGUMENT);
}

static void null_is_nothing(void) {
  CHECK(kvferry_peer_name(NULL) == NULL && kvferry_peer_alive(NULL) == 0);
  CHECK(kvferry_transfer_error(NULL) == NULL && kvferry_pool_list_size(NULL) == 0);
  kvferry_transfer_cancel(NULL);
  kvferry_peer_close(NULL);
  kvferry_error_free(NULL);
  kvferry_string_free(NULL);
  kvferry_pool_free(NULL);
  kvferry_node_free(NULL);
  kvferry_peer_free(NULL);
  kvferry_pool_list_free(NULL);
  kvferry_notice_free(NULL);
  kvferry_transfer_free(NULL);
  kvferry_prepared_free(NULL);
}

void test_null(void) {
  two_nodes nodes = connect_two(NULL);
  null_results(&nodes);
  null_handles(&nodes);
  free_two(&nodes);
  null_is_nothing();
}

// What is left of a connection whose node is gone gives errors.
static void use_what_is_left(kvferry_peer* peer, kvferry_pool* pool, kvferry_prepared* prepared,
                             kvferry_transfer* transfer) {
  const uint32_t id = 0;
  kvferry_error* error;
  kvferry_transfer* none;
  if (peer != NULL && pool != NULL) {
    CHECK(kvferry_peer_pull(peer, pool, &id, &id, 1, NULL, &none, &error) != KVFERRY_OK);
    kvferry_error_free(error);
  }
  if (prepared != NULL) {
    CHECK(kvferry_prepared_post(prepared, &none, &error) != KVFERRY_OK);
    kvferry_error_free(error);
  }
  if (peer != NULL) CHECK(kvferry_peer_alive(peer) == 0);
  kvferry_report report = {.struct_size = sizeof report};
  if (transfer != NULL) OK(kvferry_transfer_get_report(transfer, &report, &error));
}

static void free_in_order(const int order[6]) {
  const uint32_t id = 0;
  kvferry_error* error;
  two_nodes n = connect_two(NULL);
  kvferry_prepared* prepared;
  kvferry_transfer* transfer;
  OK(kvferry_peer_prepare_pull(n.peer, n.our_pool, &id, &id, 1, NULL, &prepared, &error));
  OK(kvferry_prepared_post(prepared, &transfer, &error));
  for (int i = 0; i < 6; ++i) {
    switch (order[i]) {
      case 0: kvferry_node_free(n.us), n.us = NULL; break;
      case 1: kvferry_peer_free(n.peer), n.peer = NULL; break;
      case 2: kvferry_pool_free(n.our_pool), n.our_pool = NULL; break;
      case 3: kvferry_prepared_free(prepared), prepared = NULL; break;
      case 4: kvferry_transfer_free(transfer), transfer = NULL; break;
      default: kvferry_node_free(n.them), n.them = NULL; break;
    }
    if (n.us == NULL) use_what_is_left(n.peer, n.our_pool, prepared, transfer);
  }
  kvferry_pool_free(n.their_pool);
}

static void permute(int order[6], int from) {
  if (from == 5) {
    free_in_order(order);
    return;
  }
  for (int i = from; i < 6; ++i) {
    const int first = order[from];
    order[from] = order[i];
    order[i] = first;
    permute(order, from + 1);
    order[i] = order[from];
    order[from] = first;
  }
}

void test_any_order(void) {
  int order[6] = {0, 1, 2, 3, 4, 5};
  permute(order, 0);
}
