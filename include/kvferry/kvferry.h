// kvferry's C ABI: the door for C, and for languages that call C. (C++ programs: kvferry.hpp.)
//
// Every call that can fail returns a kvferry_code, KVFERRY_OK or why not, and takes a
// `kvferry_error** error` as its last argument. Where that is not NULL, *error is set: to NULL on
// success, on failure to an object with the message, which the caller frees. (An object and no
// thread-local state, because the threads of some languages move between two calls.) No exception
// leaves a call. NULL where a value is needed is KVFERRY_INVALID_ARGUMENT, never a crash; where it
// is allowed, the comment says what it means. Where a call fails, its result is NULL or 0.
//
// Structs begin with `struct_size`. Set it to sizeof the struct, clear the rest, and set what you
// need: 0 and NULL are the defaults, so that a struct can grow without a change for those who do
// not use what is new. A library older than the program refuses a struct whose unknown part is not
// zero. In C: kvferry_transfer_options options = {.struct_size = sizeof options, .max_sms = 16};
// Structs that a call fills need struct_size too, and are filled up to it. Clear `reserved` fields.
//
// Handles (kvferry_pool, kvferry_node, ...) are freed by their _free, in any order: each keeps
// alive what it needs, and one whose node is gone gives errors. _free(NULL) does nothing. All calls
// are thread-safe but this: nothing else may use a handle while it is being freed.
//
// Text is UTF-8 and ends with a 0. `const char*` in results belongs to the handle asked, and lives
// as long as it; `char*` is the caller's, to be given to kvferry_string_free. Times that end in _ns
// are nanoseconds, in _s seconds. Flags are 0 or 1. docs/c-api.md has a tour.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KVFERRY_API __attribute__((visibility("default")))

// ---- Version ----

// Of this header: 1000 x major + minor. The minor number rises with each addition (a call, a
// field), the major one with anything that breaks a program.
#define KVFERRY_ABI_VERSION 1000

// Of the library. It serves a program if the thousands are those of the program's
// KVFERRY_ABI_VERSION, and it is not smaller.
KVFERRY_API uint32_t kvferry_abi_version(void);
// "0.1.0"
KVFERRY_API const char* kvferry_version(void);
// What this build can do: "0.1.0, without CUDA".
KVFERRY_API const char* kvferry_build(void);

// ---- Errors ----

typedef int32_t kvferry_code;
enum {
  KVFERRY_OK = 0,
  KVFERRY_FAILED = 1,            // a transfer failed
  KVFERRY_INVALID_ARGUMENT = 2,  // the arguments cannot be meant; nothing was done
  KVFERRY_UNREACHABLE = 3,       // the peer cannot be reached, or it died
  KVFERRY_REFUSED = 4,   // the peer (or this side) will not: geometry, permission, slow path
  KVFERRY_DEADLINE = 5,  // the deadline passed
  KVFERRY_RESOURCE = 6,  // something local is missing: port in use, no such GPU, memory
  KVFERRY_CANCELLED = 7  // kvferry_transfer_cancel was called
};
typedef struct kvferry_error kvferry_error;

// "invalid argument"; of another number "unknown". A constant.
KVFERRY_API const char* kvferry_code_name(kvferry_code code);
// NULL: KVFERRY_OK.
KVFERRY_API kvferry_code kvferry_error_code(const kvferry_error* error);
// Names the field, the values and what to do. NULL: "". Lives as long as the error.
KVFERRY_API const char* kvferry_error_message(const kvferry_error* error);
KVFERRY_API void kvferry_error_free(kvferry_error* error);
KVFERRY_API void kvferry_string_free(char* text);

// ---- Geometry ----

// Element types.
enum {
  KVFERRY_BF16 = 0,
  KVFERRY_FP16 = 1,
  KVFERRY_FP32 = 2,
  KVFERRY_FP8_E4M3 = 3,
  KVFERRY_FP8_E5M2 = 4,
  KVFERRY_INT8 = 5
};

// What one block of a paged KV cache is. No field has a default here: 0 is refused, but for dtype.
// Sizes: layers, kv_heads, head_dim and block_tokens at most 65,536, kv 1 or 2, a block 1 GiB.
typedef struct kvferry_shape {
  size_t struct_size;
  uint32_t layers;        // tensors
  uint32_t kv;            // 2: key and value; 1: an MLA latent
  uint32_t kv_heads;      // of this rank
  uint32_t head_dim;      // elements
  uint32_t block_tokens;  // tokens a block holds
  int32_t dtype;          // KVFERRY_BF16, ...
} kvferry_shape;

// Fills in Mistral-Small-3.1: 40 layers x 2 x 8 heads x 128 dims x 16 tokens, bf16.
// INVALID_ARGUMENT: struct_size.
KVFERRY_API kvferry_code kvferry_shape_default(kvferry_shape* shape, kvferry_error** error);
// Replaces *shape by the geometry that a Hugging Face config.json describes (`length` bytes of
// JSON). block_tokens stays as it was, and dtype, where the config names none that we know.
// INVALID_ARGUMENT names the field that is missing or odd; *shape is unchanged then.
KVFERRY_API kvferry_code kvferry_shape_from_model_config(const char* json, size_t length,
                                                         kvferry_shape* shape,
                                                         kvferry_error** error);
// Bytes of one block in one layer. INVALID_ARGUMENT names the field that is 0 or out of bounds.
KVFERRY_API kvferry_code kvferry_shape_block_bytes(const kvferry_shape* shape, uint64_t* bytes,
                                                   kvferry_error** error);
// Blocks per layer that fit into a budget of memory; 0 where not even one of every layer does.
KVFERRY_API kvferry_code kvferry_shape_blocks_for(const kvferry_shape* shape, uint64_t memory_bytes,
                                                  uint64_t* blocks, kvferry_error** error);
// Blocks that hold so many tokens.
KVFERRY_API kvferry_code kvferry_shape_blocks_for_tokens(const kvferry_shape* shape,
                                                         uint64_t tokens, uint64_t* blocks,
                                                         kvferry_error** error);
// "bf16" and the like, and back. NULL: no such type; INVALID_ARGUMENT lists the names.
KVFERRY_API const char* kvferry_dtype_name(int32_t dtype);
KVFERRY_API kvferry_code kvferry_dtype_parse(const char* name, int32_t* dtype,
                                             kvferry_error** error);

// ---- Pools: the memory of a KV cache ----

// Where memory lives: the host, or a CUDA device by its ordinal in this process, from 0.
#define KVFERRY_HOST (-1)

// CUDA devices this process can use. Where there is none and `why` is not NULL, *why says the
// reason (no driver, no GPU, a build without CUDA), for the caller to free; else it is NULL.
KVFERRY_API int32_t kvferry_cuda_device_count(char** why);

typedef struct kvferry_pool kvferry_pool;

typedef struct kvferry_pool_options {
  size_t struct_size;
  const char* name;  // peers pair pools by name: 1 to 64 of [A-Za-z0-9._-]; NULL: "kv"
  const char* tag;   // any text for the other side to see, at most 256 bytes; NULL: none
  // Peers may push into it. On the host it is sealed against them where this is 0; CUDA cannot
  // enforce that on an importer, so there it is a promise that kvferry peers keep.
  uint32_t writable;
  uint32_t reserved;
} kvferry_pool_options;

// Memory of kvferry's, `blocks` blocks in each layer; not cleared on CUDA. `options` may be NULL.
// INVALID_ARGUMENT: shape, blocks, name, device; RESOURCE: too little memory, no such GPU.
KVFERRY_API kvferry_code kvferry_pool_allocate(int32_t device, const kvferry_shape* shape,
                                               uint32_t blocks, const kvferry_pool_options* options,
                                               kvferry_pool** pool, kvferry_error** error);

typedef struct kvferry_attach_options {
  size_t struct_size;
  const kvferry_shape* shape;  // required
  // `base_count` addresses: one a layer (a block's keys and values adjacent), or layers x kv where
  // they are separate tensors: layer 0 K, layer 0 V, layer 1 K, ... All on one device; any
  // alignment.
  void* const* bases;
  size_t base_count;
  // Bytes from one block to the next in a layer's tensor, at least a block (a half, where K and V
  // are apart); 0: dense.
  uint64_t block_stride;
  const kvferry_pool_options* options;  // NULL: defaults
  // Called once, with `release_user`, when nothing can touch the memory any more: then it may be
  // freed. From any thread, also from within kvferry_pool_free. Not called where attaching fails.
  // NULL: the caller knows by other means (kvferry_pool_revoke).
  void (*release)(void* release_user);
  void* release_user;
  uint32_t blocks;  // in each layer
  uint32_t reserved;
} kvferry_attach_options;

// The caller's own tensors. INVALID_ARGUMENT: addresses, stride, overlap; REFUSED: memory that
// cannot be shared, with the reason.
KVFERRY_API kvferry_code kvferry_pool_attach(const kvferry_attach_options* options,
                                             kvferry_pool** pool, kvferry_error** error);

typedef struct kvferry_pool_info {
  size_t struct_size;
  const char* name;
  const char* tag;
  uint64_t generation;    // counts the revocations, from 1
  uint64_t block_stride;  // bytes from one block to the next
  int32_t device;         // KVFERRY_HOST, or a CUDA ordinal
  uint32_t blocks;
  uint32_t kv_parts;  // 1: a block's keys and values are adjacent; 2: in tensors of their own
  uint32_t writable;
} kvferry_pool_info;

KVFERRY_API kvferry_code kvferry_pool_get_info(const kvferry_pool* pool, kvferry_pool_info* info,
                                               kvferry_error** error);
KVFERRY_API kvferry_code kvferry_pool_get_shape(const kvferry_pool* pool, kvferry_shape* shape,
                                                kvferry_error** error);
// Address of block 0 of a layer; where kv_parts is 2, of part 0 (K) or 1 (V). It is valid while the
// pool lives. A peer reads what is visible when it pulls: synchronise before handing out ids.
// INVALID_ARGUMENT: out of range.
KVFERRY_API kvferry_code kvferry_pool_layer(const kvferry_pool* pool, uint32_t layer, uint32_t part,
                                            void** address, kvferry_error** error);
// Withdraws the pool from every node that serves it, and returns when no peer can touch the memory
// any more. DEADLINE after timeout_ns (at least 0), naming who still holds it: the memory must not
// be freed then. Add it to a node again to serve it again.
KVFERRY_API kvferry_code kvferry_pool_revoke(kvferry_pool* pool, int64_t timeout_ns,
                                             kvferry_error** error);
// The memory lives on while a node serves it.
KVFERRY_API void kvferry_pool_free(kvferry_pool* pool);

// ---- Transfers: what is seen of one ----

typedef struct kvferry_transfer kvferry_transfer;

enum { KVFERRY_PULL = 0, KVFERRY_PUSH = 1 };
// How GPU bytes are copied: by a kernel, the copy engine (no SMs), or whichever is faster.
enum { KVFERRY_COPY_AUTO = 0, KVFERRY_COPY_KERNEL = 1, KVFERRY_COPY_ENGINE = 2 };
// States of a transfer: running, then exactly one of the others.
enum {
  KVFERRY_STATE_RUNNING = 0,
  KVFERRY_STATE_DONE = 1,
  KVFERRY_STATE_FAILED = 2,
  KVFERRY_STATE_CANCELLED = 3,
  KVFERRY_STATE_DEADLINE = 4,
  KVFERRY_STATE_PEER_DIED = 5
};

typedef struct kvferry_transfer_options {
  size_t struct_size;
  uint64_t tag;  // yours; comes back in the completion
  // From the call; past it the transfer ends as KVFERRY_STATE_DEADLINE, and what had landed has
  // landed. 0: none. Not negative.
  int64_t deadline_ns;
  // UTF-8, at most 4096 bytes, for the other side's node once the transfer is done; NULL: none.
  const char* notice;
  const char* remote_pool;  // NULL: the pool of the local one's name
  const char* path;         // "cuda_ipc", "host_shm"; NULL: the best there is
  // With use_stream: a cudaStream_t on the local pool's device (NULL is CUDA's default stream). The
  // transfer starts after the work in it, and work put into it later starts after the transfer.
  // One that fails does not stop the stream: see kvferry_transfer_status_word.
  void* stream;
  uint32_t use_stream;
  uint32_t layer_begin;        // layers [layer_begin, layer_end)
  uint32_t layer_end;          // 0: to the last
  int32_t copy;                // KVFERRY_COPY_AUTO, ...
  uint32_t max_sms;            // at most so many SMs for the copy kernel; 0: as many as help
  uint32_t allow_slow;         // accept a path slower than what this hardware offers
  uint32_t notify_completion;  // put a completion into the node's queue when it ends
  uint32_t reserved;
} kvferry_transfer_options;

// What a transfer did.
typedef struct kvferry_report {
  size_t struct_size;
  const char* path;    // "cuda_ipc", "host_shm"
  const char* method;  // how it copied: "kernel tma, 24 SMs"
  uint64_t bytes;      // blocks x layers x block bytes
  uint64_t blocks;
  uint64_t layers;
  uint64_t pieces;  // contiguous rows, neighbours merged
  double post_s;    // call to posted
  double move_s;    // posted to nothing more moving
  double sync_s;    // nothing more moving to known here
  double total_s;   // call to known here
} kvferry_report;

// The state now, without blocking.
KVFERRY_API kvferry_code kvferry_transfer_poll(const kvferry_transfer* transfer, int32_t* state,
                                               kvferry_error** error);
// Blocks until it has ended. OK: it is done. Else how it ended: FAILED, CANCELLED, DEADLINE,
// UNREACHABLE (the peer died).
KVFERRY_API kvferry_code kvferry_transfer_wait(const kvferry_transfer* transfer,
                                               kvferry_error** error);
// Blocks until it has ended or timeout_ns (at least 0) has passed, and gives the state: OK however
// it ended, and also if it runs on.
KVFERRY_API kvferry_code kvferry_transfer_wait_for(const kvferry_transfer* transfer,
                                                   int64_t timeout_ns, int32_t* state,
                                                   kvferry_error** error);
// notify_completion of the options, asked for later, by whoever finds that it has to wait: a
// completion with this tag comes when it ends. At most one does: asked again, the last tag counts.
// *pending: 0 where it has ended already, then none will come. `pending` may be NULL.
KVFERRY_API kvferry_code kvferry_transfer_notify_completion(const kvferry_transfer* transfer,
                                                            uint64_t tag, int32_t* pending,
                                                            kvferry_error** error);
// Asks it to end early: it ends as cancelled, or as done if that was too late. NULL: nothing.
KVFERRY_API void kvferry_transfer_cancel(const kvferry_transfer* transfer);
// INVALID_ARGUMENT while it runs.
KVFERRY_API kvferry_code kvferry_transfer_get_report(const kvferry_transfer* transfer,
                                                     kvferry_report* report, kvferry_error** error);
// Why it did not end as done; "" if it did; NULL while it runs, and of NULL.
KVFERRY_API const char* kvferry_transfer_error(const kvferry_transfer* transfer);
// *word: readable by the host and the local GPU, 0 while good, a kvferry_code once the transfer was
// aborted; NULL where the path has none (host memory). Lives as long as the handle.
KVFERRY_API kvferry_code kvferry_transfer_status_word(const kvferry_transfer* transfer,
                                                      const volatile uint32_t** word,
                                                      kvferry_error** error);
// Does not stop it: cancel and wait for that.
KVFERRY_API void kvferry_transfer_free(kvferry_transfer* transfer);

// ---- Nodes: one process's end ----

typedef struct kvferry_node kvferry_node;
typedef struct kvferry_peer kvferry_peer;

enum {
  KVFERRY_LOG_DEBUG = 0,
  KVFERRY_LOG_INFO = 1,
  KVFERRY_LOG_WARNING = 2,
  KVFERRY_LOG_ERROR = 3
};
enum {
  KVFERRY_EVENT_CONNECTED = 0,
  KVFERRY_EVENT_REFUSED = 1,
  KVFERRY_EVENT_SERVED = 2,
  KVFERRY_EVENT_DISCONNECTED = 3
};

// Something that happened, for those who want to tell a person. Its text lives during the call.
typedef struct kvferry_event {
  size_t struct_size;
  const char* peer;     // who: name, pid, address
  const char* message;  // refused: why, with the table; disconnected: how; else ""
  // Of a served transfer, as the peer reported it:
  const char* pool;
  const char* path;
  uint64_t blocks;
  uint64_t bytes;
  double seconds;
  int32_t kind;       // KVFERRY_EVENT_CONNECTED, ...
  int32_t direction;  // KVFERRY_PULL, KVFERRY_PUSH
} kvferry_event;

// What a node proves itself with to peers on other hosts, and what it demands of them: a token that
// both sides know, or a certificate of the same authority. Paths of files, which `kvferry keygen`
// makes; connections are TLS 1.3 then. Local peers need none: the kernel says who they are.
typedef struct kvferry_credentials {
  size_t struct_size;
  const char* token_file;   // NULL, or:
  const char* certificate;  // these three, PEM: ours,
  const char* key;          // its private key, which others must not be able to read,
  const char* authority;    // and who signs ours and theirs
  uint32_t plain_data;      // 1: blocks travel as they are; both sides must say so
  uint32_t reserved;
} kvferry_credentials;

typedef struct kvferry_node_options {
  size_t struct_size;
  const char* name;  // shown to peers: 1 to 64 of [A-Za-z0-9._-]; NULL: "pid N"
  // Called on the node's own thread, `log` also on those that call it; not after kvferry_node_free
  // has returned. Return soon, and call nothing of the node. NULL: nobody is told.
  void (*log)(void* user, int32_t level, const char* text);
  void (*on_event)(void* user, const kvferry_event* event);
  void* user;                              // passed to both
  const kvferry_credentials* credentials;  // NULL: none
  // A peer on another host that says nothing for so long, although asked, is given up. 0: 15
  // seconds; at least a second.
  int64_t peer_silence_ns;
  uint32_t copy_threads;  // for copies in host memory; 0: as many as help
  uint32_t max_peers;     // 0: 256; of more than 16, one address of another host may have half
} kvferry_node_options;

// `options` may be NULL. INVALID_ARGUMENT: the name, a credential; RESOURCE: a file that cannot be
// read, no thread or descriptor left.
KVFERRY_API kvferry_code kvferry_node_create(const kvferry_node_options* options,
                                             kvferry_node** node, kvferry_error** error);
// Serves a pool to peers that connect from now on, and makes it usable in transfers.
// INVALID_ARGUMENT: the node has a pool of that name.
KVFERRY_API kvferry_code kvferry_node_add(kvferry_node* node, const kvferry_pool* pool,
                                          kvferry_error** error);

// What the holder of one credential may do with a listener's pools.
typedef struct kvferry_permission {
  size_t struct_size;
  const char* credential;    // name of a token, or common name of a certificate; NULL: any other
  const char* const* pools;  // `pool_count` names; 0: all pools
  size_t pool_count;
  uint32_t no_read;
  uint32_t no_write;  // else it may push into pools that are writable
} kvferry_permission;

typedef struct kvferry_listen_options {
  size_t struct_size;
  const char* ip;  // NULL: "127.0.0.1"
  // Path of the Unix socket that peers of this host meet on; required. Created with mode 0600; a
  // directory of your own keeps others from taking the name.
  const char* socket_path;
  // `permission_count` of them; 0: every credential may do everything.
  const kvferry_permission* const* permissions;
  size_t permission_count;
  uint32_t port;    // 0: any free one, see kvferry_node_port
  uint32_t no_tcp;  // 1: the Unix socket only
  // Peers of other hosts are let in by the node's credentials. 1: let in anyone who reaches the
  // port, unencrypted. An address beyond loopback needs one or the other.
  uint32_t insecure;
  uint32_t reserved;
} kvferry_listen_options;

// RESOURCE: port or socket in use; REFUSED: beyond loopback without credentials or `insecure`;
// INVALID_ARGUMENT.
KVFERRY_API kvferry_code kvferry_node_listen(kvferry_node* node,
                                             const kvferry_listen_options* options,
                                             kvferry_error** error);
// The port listened on; 0: not on TCP.
KVFERRY_API kvferry_code kvferry_node_port(const kvferry_node* node, uint16_t* port,
                                           kvferry_error** error);

typedef struct kvferry_connect_options {
  size_t struct_size;
  int64_t timeout_ns;  // 0: 5 seconds
  // The name or address that the server's certificate must be for; NULL: what `address` says.
  const char* server_name;
  // 1: connect to a peer on another host that demands no credential, unencrypted: whoever is on the
  // way can read and change every block.
  uint32_t insecure;
  uint32_t reserved;
} kvferry_connect_options;

// To "host:port", "[v6]:port" or "unix:/path". `options` may be NULL. UNREACHABLE; REFUSED, where
// pools of the same name differ, with the table, or a credential does not satisfy the other side;
// DEADLINE after the timeout.
KVFERRY_API kvferry_code kvferry_node_connect(kvferry_node* node, const char* address,
                                              const kvferry_connect_options* options,
                                              kvferry_peer** peer, kvferry_error** error);
// How many peers are connected, and handles for the first `capacity` of them, each to be freed.
// `peers` may be NULL where capacity is 0.
KVFERRY_API kvferry_code kvferry_node_peers(const kvferry_node* node, kvferry_peer** peers,
                                            size_t capacity, size_t* count, kvferry_error** error);
// Readable (poll, epoll) while a completion or a notice waits. The node's: do not read or close it.
KVFERRY_API kvferry_code kvferry_node_event_fd(const kvferry_node* node, int* fd,
                                               kvferry_error** error);

// A transfer with notify_completion has ended.
typedef struct kvferry_completion {
  size_t struct_size;
  kvferry_transfer* transfer;  // another handle of it, to be freed; NULL: no completion waits
  uint64_t tag;
  int32_t state;
  uint32_t reserved;
} kvferry_completion;
// Takes the next one from the queue; never blocks. struct_size must cover `state`.
KVFERRY_API kvferry_code kvferry_node_next_completion(kvferry_node* node,
                                                      kvferry_completion* completion,
                                                      kvferry_error** error);

// A peer's transfer that touched a pool of ours has landed, and the peer wanted us to know.
typedef struct kvferry_notice kvferry_notice;
typedef struct kvferry_notice_info {
  size_t struct_size;
  const char* peer;
  const char* pool;
  const char* text;
  const char* path;
  uint64_t blocks;
  uint64_t bytes;
  int32_t direction;  // KVFERRY_PULL, KVFERRY_PUSH
  uint32_t reserved;
} kvferry_notice_info;
// Takes the next one from the queue, NULL if none waits; never blocks.
KVFERRY_API kvferry_code kvferry_node_next_notice(kvferry_node* node, kvferry_notice** notice,
                                                  kvferry_error** error);
KVFERRY_API kvferry_code kvferry_notice_get_info(const kvferry_notice* notice,
                                                 kvferry_notice_info* info, kvferry_error** error);
KVFERRY_API void kvferry_notice_free(kvferry_notice* notice);

// Closes every peer and returns when nothing of ours moves any more. It does not wait for peers
// that have a pool of ours mapped: revoke a pool before, if its memory is to be freed. Peers,
// prepared transfers and transfers of it may be freed before or after; their calls give errors from
// then on.
KVFERRY_API void kvferry_node_free(kvferry_node* node);

// ---- Peers: connected nodes ----

// "prefill-0 (pid 4711)". NULL of NULL.
KVFERRY_API const char* kvferry_peer_name(const kvferry_peer* peer);
// 1 while the connection stands. 0 of NULL.
KVFERRY_API int32_t kvferry_peer_alive(const kvferry_peer* peer);
// For every local pool and the remote pool of its name, which path transfers take, and for each
// faster one why not: JSON, as "explain" in docs/json.md, for people and logs.
KVFERRY_API kvferry_code kvferry_peer_explain(const kvferry_peer* peer, char** json,
                                              kvferry_error** error);

// The pools that a peer serves, as it said when it connected.
typedef struct kvferry_pool_list kvferry_pool_list;
typedef struct kvferry_remote_pool {
  size_t struct_size;
  const char* name;
  const char* tag;
  const char* device;  // "host", "cuda GPU-<uuid>"
  uint64_t generation;
  uint32_t blocks;
  uint32_t writable;
} kvferry_remote_pool;
KVFERRY_API kvferry_code kvferry_peer_pools(const kvferry_peer* peer, kvferry_pool_list** pools,
                                            kvferry_error** error);
// 0 of NULL.
KVFERRY_API size_t kvferry_pool_list_size(const kvferry_pool_list* pools);
// INVALID_ARGUMENT: no such index. Text lives as long as the list.
KVFERRY_API kvferry_code kvferry_pool_list_get(const kvferry_pool_list* pools, size_t index,
                                               kvferry_remote_pool* pool, kvferry_error** error);
KVFERRY_API kvferry_code kvferry_pool_list_get_shape(const kvferry_pool_list* pools, size_t index,
                                                     kvferry_shape* shape, kvferry_error** error);
KVFERRY_API void kvferry_pool_list_free(kvferry_pool_list* pools);

// remote_ids[i] -> local_ids[i], for `count` blocks, every layer of the range. Returns when posted;
// the ids are not needed after that. `options` may be NULL; the ids too, where count is 0.
// INVALID_ARGUMENT: an id out of range, a target id twice, source and target overlap, an option;
// REFUSED: no such pool, geometry, no path, only a slow one; UNREACHABLE; RESOURCE. Nothing was
// written then.
KVFERRY_API kvferry_code kvferry_peer_pull(const kvferry_peer* peer, const kvferry_pool* local,
                                           const uint32_t* remote_ids, const uint32_t* local_ids,
                                           size_t count, const kvferry_transfer_options* options,
                                           kvferry_transfer** transfer, kvferry_error** error);
// local_ids[i] -> remote_ids[i]. As pull, and REFUSED unless the owner made the pool writable.
KVFERRY_API kvferry_code kvferry_peer_push(const kvferry_peer* peer, const kvferry_pool* local,
                                           const uint32_t* remote_ids, const uint32_t* local_ids,
                                           size_t count, const kvferry_transfer_options* options,
                                           kvferry_transfer** transfer, kvferry_error** error);
// Maps the remote pool for use with this local one now rather than at the first transfer. As pull.
KVFERRY_API kvferry_code kvferry_peer_prepare(const kvferry_peer* peer, const kvferry_pool* local,
                                              const kvferry_transfer_options* options,
                                              kvferry_error** error);
// Ends the connection; running transfers end as cancelled first. NULL: nothing.
KVFERRY_API void kvferry_peer_close(const kvferry_peer* peer);
// Does not end the connection.
KVFERRY_API void kvferry_peer_free(kvferry_peer* peer);

// ---- Prepared transfers: the same ids, posted many times ----

// A pull or push whose ids were checked and laid out once. It keeps no pool mapped: once one is
// revoked, or the connection has ended, posting is REFUSED.
typedef struct kvferry_prepared kvferry_prepared;

// As kvferry_peer_pull and _push. What only shows when copying begins, posting says.
KVFERRY_API kvferry_code kvferry_peer_prepare_pull(
    const kvferry_peer* peer, const kvferry_pool* local, const uint32_t* remote_ids,
    const uint32_t* local_ids, size_t count, const kvferry_transfer_options* options,
    kvferry_prepared** prepared, kvferry_error** error);
KVFERRY_API kvferry_code kvferry_peer_prepare_push(
    const kvferry_peer* peer, const kvferry_pool* local, const uint32_t* remote_ids,
    const uint32_t* local_ids, size_t count, const kvferry_transfer_options* options,
    kvferry_prepared** prepared, kvferry_error** error);
// Starts it once; a deadline counts from here. Posts must not overlap: they write the same blocks.
// REFUSED (no longer mapped), UNREACHABLE, RESOURCE.
KVFERRY_API kvferry_code kvferry_prepared_post(const kvferry_prepared* prepared,
                                               kvferry_transfer** transfer, kvferry_error** error);
// Adds the copy to a stream (a cudaStream_t of the local pool's GPU) that is being captured into a
// CUDA graph. Launches of the graph move the blocks then, without a transfer, a deadline or a
// notice; they must not overlap, and the graph goes before this handle. Once the peer or a pool
// goes, the captured copy does nothing. INVALID_ARGUMENT: host memory, a stream that is not being
// captured, a copy that fell to the copy engine (prepare with copy = KVFERRY_COPY_KERNEL); REFUSED.
KVFERRY_API kvferry_code kvferry_prepared_capture(const kvferry_prepared* prepared, void* stream,
                                                  kvferry_error** error);
// *word: readable by the host and the local GPU, 0 while captured copies copy, a kvferry_code once
// they do not; NULL before the first capture. Lives as long as the handle.
KVFERRY_API kvferry_code kvferry_prepared_status_word(const kvferry_prepared* prepared,
                                                      const volatile uint32_t** word,
                                                      kvferry_error** error);
KVFERRY_API void kvferry_prepared_free(kvferry_prepared* prepared);

#ifdef __cplusplus
}
#endif
