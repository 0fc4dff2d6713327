// Two nodes in one process: connecting, moving blocks, and hearing of it.
#include <poll.h>

#include "check.h"

static void pull_and_push(two_nodes* nodes) {
  const uint32_t theirs[] = {7, 0, 3}, ours[] = {1, 2, 5};
  kvferry_error* error;
  kvferry_transfer* transfer;
  OK(kvferry_peer_pull(nodes->peer, nodes->our_pool, theirs, ours, 3, NULL, &transfer, &error));
  OK(kvferry_transfer_wait(transfer, &error));
  kvferry_report report = {.struct_size = sizeof report};
  OK(kvferry_transfer_get_report(transfer, &report, &error));
  CHECK(report.bytes == 3 * 3 * 128 && report.blocks == 3 && report.layers == 3);
  CHECK(strcmp(report.path, "host_shm") == 0 && report.method[0] != 0 && report.total_s > 0);
  CHECK(strcmp(kvferry_transfer_error(transfer), "") == 0);
  int32_t state = -1;
  OK(kvferry_transfer_poll(transfer, &state, &error));
  CHECK(state == KVFERRY_STATE_DONE);
  const volatile uint32_t* word;
  OK(kvferry_transfer_status_word(transfer, &word, &error));
  CHECK(word == NULL);  // host memory has none
  kvferry_transfer_free(transfer);
  for (uint32_t block = 0; block < 8; ++block) {
    const int pulled = block == 1 || block == 2 || block == 5;
    CHECK(first_byte(nodes->our_pool, 2, block) == (pulled ? 0x5a : 0));
  }

  // Back, one layer of one block: zeros over theirs.
  const kvferry_transfer_options options = {
      .struct_size = sizeof options, .layer_begin = 1, .layer_end = 2};
  OK(kvferry_peer_push(nodes->peer, nodes->our_pool, theirs, ours, 0, &options, &transfer, &error));
  OK(kvferry_transfer_wait(transfer, &error));  // of no block
  kvferry_transfer_free(transfer);
  const uint32_t from = 0, to = 4;
  OK(kvferry_peer_push(nodes->peer, nodes->our_pool, &to, &from, 1, &options, &transfer, &error));
  OK(kvferry_transfer_wait_for(transfer, 10 * SECOND, &state, &error));
  CHECK(state == KVFERRY_STATE_DONE);
  kvferry_transfer_free(transfer);
  CHECK(first_byte(nodes->their_pool, 1, 4) == 0 && first_byte(nodes->their_pool, 0, 4) == 0x5a);
}

static void refusals(two_nodes* nodes) {
  const uint32_t first = 0, beyond = 8;
  kvferry_error* error;
  kvferry_transfer* transfer;
  kvferry_transfer_options options = {.struct_size = sizeof options, .remote_pool = "other"};
  FAILS(
      KVFERRY_INVALID_ARGUMENT, "8",
      kvferry_peer_pull(nodes->peer, nodes->our_pool, &beyond, &first, 1, NULL, &transfer, &error));
  CHECK(transfer == NULL);
  FAILS(KVFERRY_REFUSED, "other",
        kvferry_peer_pull(nodes->peer, nodes->our_pool, &first, &first, 1, &options, &transfer,
                          &error));
  FAILS(KVFERRY_INVALID_ARGUMENT, "remote_ids is NULL",
        kvferry_peer_pull(nodes->peer, nodes->our_pool, NULL, &first, 1, NULL, &transfer, &error));
  options.remote_pool = NULL;
  options.copy = 9;
  FAILS(KVFERRY_INVALID_ARGUMENT, "copy 9",
        kvferry_peer_prepare(nodes->peer, nodes->our_pool, &options, &error));
  options.copy = KVFERRY_COPY_AUTO;
  options.deadline_ns = -5;
  FAILS(KVFERRY_INVALID_ARGUMENT, "deadline_ns -5",
        kvferry_peer_prepare(nodes->peer, nodes->our_pool, &options, &error));
  options.deadline_ns = 1;  // has passed when it begins
  OK(kvferry_peer_pull(nodes->peer, nodes->our_pool, &first, &first, 1, &options, &transfer,
                       &error));
  FAILS(KVFERRY_DEADLINE, "deadline", kvferry_transfer_wait(transfer, &error));
  CHECK(strstr(kvferry_transfer_error(transfer), "deadline") != NULL);
  kvferry_transfer_cancel(transfer);  // too late
  kvferry_transfer_free(transfer);
  options.deadline_ns = 0;
  options.stream = &options;
  FAILS(KVFERRY_INVALID_ARGUMENT, "use_stream",
        kvferry_peer_prepare(nodes->peer, nodes->our_pool, &options, &error));
}

static void prepared(two_nodes* nodes) {
  const uint32_t theirs[] = {6}, ours[] = {6};
  kvferry_error* error;
  kvferry_prepared* pull;
  kvferry_transfer* transfer;
  OK(kvferry_peer_prepare(nodes->peer, nodes->our_pool, NULL, &error));
  OK(kvferry_peer_prepare_pull(nodes->peer, nodes->our_pool, theirs, ours, 1, NULL, &pull, &error));
  for (int i = 0; i < 3; ++i) {
    OK(kvferry_prepared_post(pull, &transfer, &error));
    OK(kvferry_transfer_wait(transfer, &error));
    kvferry_transfer_free(transfer);
  }
  CHECK(first_byte(nodes->our_pool, 0, 6) == 0x5a);
  FAILS(KVFERRY_INVALID_ARGUMENT, "", kvferry_prepared_capture(pull, NULL, &error));
  const volatile uint32_t* word;
  OK(kvferry_prepared_status_word(pull, &word, &error));
  CHECK(word == NULL);
  kvferry_prepared_free(pull);
  OK(kvferry_peer_prepare_push(nodes->peer, nodes->our_pool, theirs, ours, 1, NULL, &pull, &error));
  kvferry_prepared_free(pull);
}

static int wait_readable(const kvferry_node* node) {
  kvferry_error* error;
  struct pollfd waiting = {.events = POLLIN};
  OK(kvferry_node_event_fd(node, &waiting.fd, &error));
  return poll(&waiting, 1, 10000) == 1;
}

static void completions_and_notices(two_nodes* nodes) {
  const uint32_t id = 3;
  const kvferry_transfer_options options = {
      .struct_size = sizeof options, .tag = 77, .notify_completion = 1, .notice = "request 9"};
  kvferry_error* error;
  kvferry_completion completion = {.struct_size = sizeof completion};
  OK(kvferry_node_next_completion(nodes->us, &completion, &error));
  CHECK(completion.transfer == NULL);
  kvferry_notice* notice = NULL;
  OK(kvferry_node_next_notice(nodes->them, &notice, &error));
  CHECK(notice == NULL);

  kvferry_transfer* transfer;
  OK(kvferry_peer_push(nodes->peer, nodes->our_pool, &id, &id, 1, &options, &transfer, &error));
  CHECK(wait_readable(nodes->us));
  OK(kvferry_node_next_completion(nodes->us, &completion, &error));
  CHECK(completion.tag == 77 && completion.state == KVFERRY_STATE_DONE);
  kvferry_transfer_free(transfer);  // the completion's handle is another one
  OK(kvferry_transfer_wait(completion.transfer, &error));
  kvferry_transfer_free(completion.transfer);

  CHECK(wait_readable(nodes->them));
  OK(kvferry_node_next_notice(nodes->them, &notice, &error));
  kvferry_notice_info info = {.struct_size = sizeof info};
  OK(kvferry_notice_get_info(notice, &info, &error));
  CHECK(strcmp(info.text, "request 9") == 0 && strcmp(info.pool, "kv") == 0);
  CHECK(info.direction == KVFERRY_PUSH && info.blocks == 1 && info.bytes == 3 * 128);
  kvferry_notice_free(notice);

  // Asked for after it has ended: none comes.
  int32_t pending = 1;
  OK(kvferry_peer_push(nodes->peer, nodes->our_pool, &id, &id, 1, NULL, &transfer, &error));
  OK(kvferry_transfer_wait(transfer, &error));
  OK(kvferry_transfer_notify_completion(transfer, 78, &pending, &error));
  CHECK(pending == 0);
  OK(kvferry_transfer_notify_completion(transfer, 78, NULL, &error));
  kvferry_transfer_free(transfer);
  OK(kvferry_node_next_completion(nodes->us, &completion, &error));
  CHECK(completion.transfer == NULL);
  // Before: one comes, if it has not ended meanwhile.
  OK(kvferry_peer_push(nodes->peer, nodes->our_pool, &id, &id, 1, NULL, &transfer, &error));
  OK(kvferry_transfer_notify_completion(transfer, 79, &pending, &error));
  if (pending) {
    CHECK(wait_readable(nodes->us));
    OK(kvferry_node_next_completion(nodes->us, &completion, &error));
    CHECK(completion.tag == 79 && completion.state == KVFERRY_STATE_DONE);
    kvferry_transfer_free(completion.transfer);
  }
  kvferry_transfer_free(transfer);

  completion.struct_size = sizeof(size_t);  // no room for the handle
  FAILS(KVFERRY_INVALID_ARGUMENT, "at least",
        kvferry_node_next_completion(nodes->us, &completion, &error));
}

static void who_is_there(two_nodes* nodes) {
  kvferry_error* error;
  CHECK(strncmp(kvferry_peer_name(nodes->peer), "prefill (pid ", 13) == 0);
  CHECK(kvferry_peer_alive(nodes->peer) == 1);
  kvferry_pool_list* pools;
  OK(kvferry_peer_pools(nodes->peer, &pools, &error));
  CHECK(kvferry_pool_list_size(pools) == 1);
  kvferry_remote_pool remote = {.struct_size = sizeof remote};
  OK(kvferry_pool_list_get(pools, 0, &remote, &error));
  CHECK(strcmp(remote.name, "kv") == 0 && strcmp(remote.device, "host") == 0);
  CHECK(remote.blocks == 8 && remote.writable == 1 && remote.generation == 1);
  kvferry_shape shape = {.struct_size = sizeof shape};
  const kvferry_shape expected = small_shape();
  OK(kvferry_pool_list_get_shape(pools, 0, &shape, &error));
  CHECK(memcmp(&shape, &expected, sizeof shape) == 0);
  FAILS(KVFERRY_INVALID_ARGUMENT, "index 1", kvferry_pool_list_get(pools, 1, &remote, &error));
  kvferry_pool_list_free(pools);
  char* json;
  OK(kvferry_peer_explain(nodes->peer, &json, &error));
  CHECK(strstr(json, "\"chosen\":\"host_shm\"") != NULL && json[0] == '[');
  kvferry_string_free(json);

  size_t count = 9;
  OK(kvferry_node_peers(nodes->us, NULL, 0, &count, &error));
  CHECK(count == 1);
  kvferry_peer* peers[4] = {NULL};
  OK(kvferry_node_peers(nodes->us, peers, 4, &count, &error));
  CHECK(count == 1 && peers[0] != NULL && peers[1] == NULL);
  CHECK(strcmp(kvferry_peer_name(peers[0]), kvferry_peer_name(nodes->peer)) == 0);
  kvferry_peer_free(peers[0]);
  FAILS(KVFERRY_INVALID_ARGUMENT, "peers is NULL",
        kvferry_node_peers(nodes->us, NULL, 4, &count, &error));
  uint16_t port = 1;
  OK(kvferry_node_port(nodes->them, &port, &error));
  CHECK(port == 0);  // not on TCP
  FAILS(KVFERRY_INVALID_ARGUMENT, "name", kvferry_node_add(nodes->us, nodes->our_pool, &error));
}

// Touched by the node's thread, read once the node is gone.
typedef struct {
  int kinds[4];
  uint64_t served_bytes;
} events;

static void count_event(void* user, const kvferry_event* event) {
  events* const seen = user;
  if (event->struct_size < sizeof *event || event->kind < 0 || event->kind > 3) abort();
  ++seen->kinds[event->kind];
  seen->served_bytes += event->bytes;
}

void test_nodes(void) {
  events seen = {{0}, 0};
  const kvferry_node_options options = {
      .struct_size = sizeof options, .name = "prefill", .on_event = count_event, .user = &seen};
  two_nodes nodes = connect_two(&options);
  pull_and_push(&nodes);
  refusals(&nodes);
  prepared(&nodes);
  completions_and_notices(&nodes);
  who_is_there(&nodes);
  kvferry_peer_close(nodes.peer);
  CHECK(kvferry_peer_alive(nodes.peer) == 0);
  free_two(&nodes);
  CHECK(seen.kinds[KVFERRY_EVENT_CONNECTED] == 1);
  CHECK(seen.kinds[KVFERRY_EVENT_DISCONNECTED] == 1);
  CHECK(seen.kinds[KVFERRY_EVENT_SERVED] >= 5 && seen.served_bytes > 0);
}
