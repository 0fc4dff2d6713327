// What the C tests share: checks that count, and two nodes with a pool each.
#pragma once

#include <kvferry/kvferry.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int checks_failed;
extern const char* directory;  // for sockets and files

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      ++checks_failed;                                                        \
    }                                                                         \
  } while (0)

// A call that must succeed; `error` is a kvferry_error* of the scope.
#define OK(call)                                                                                   \
  do {                                                                                             \
    if ((call) != KVFERRY_OK) {                                                                    \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, kvferry_error_message(error)); \
      kvferry_error_free(error);                                                                   \
      error = NULL;                                                                                \
      ++checks_failed;                                                                             \
    }                                                                                              \
  } while (0)

// A call that must fail so, with a message that holds `text`.
#define FAILS(expected, text, call)                                                            \
  do {                                                                                         \
    const kvferry_code code_ = (call);                                                         \
    const char* const message_ = kvferry_error_message(error);                                 \
    if (code_ != (expected) || kvferry_error_code(error) != (expected) ||                      \
        strstr(message_, (text)) == NULL) {                                                    \
      fprintf(stderr, "%s:%d: %s: %s '%s', and not %s with '%s'\n", __FILE__, __LINE__, #call, \
              kvferry_code_name(code_), message_, kvferry_code_name(expected), (text));        \
      ++checks_failed;                                                                         \
    }                                                                                          \
    kvferry_error_free(error);                                                                 \
    error = NULL;                                                                              \
  } while (0)

#define SECOND 1000000000ll

// 3 layers of 8 blocks of 128 bytes.
kvferry_shape small_shape(void);
kvferry_pool* small_pool(unsigned char fill, uint32_t writable);
unsigned char first_byte(const kvferry_pool* pool, uint32_t layer, uint32_t block);

typedef struct {
  kvferry_pool* their_pool;  // every byte 0x5a, writable
  kvferry_pool* our_pool;    // every byte 0
  kvferry_node* them;        // listens on a Unix socket
  kvferry_node* us;
  kvferry_peer* peer;  // of us: them
} two_nodes;

// `options` of their node may be NULL. Sockets are made in the directory the program was given.
two_nodes connect_two(const kvferry_node_options* options);
void free_two(two_nodes* nodes);

void test_values(void);
void test_pools(void);
void test_nodes(void);
void test_reaching(void);
void test_null(void);
void test_any_order(void);
