// Versions, errors, geometry, and structs of other sizes than the library's.
#include <stddef.h>

#include "check.h"

static void versions(void) {
  CHECK(kvferry_abi_version() == KVFERRY_ABI_VERSION);
  CHECK(strncmp(kvferry_build(), kvferry_version(), strlen(kvferry_version())) == 0);
  CHECK(strchr(kvferry_version(), '.') != NULL);
}

static void errors(void) {
  CHECK(strcmp(kvferry_code_name(KVFERRY_OK), "ok") == 0);
  CHECK(strcmp(kvferry_code_name(KVFERRY_REFUSED), "refused") == 0);
  CHECK(strcmp(kvferry_code_name(99), "unknown") == 0);
  CHECK(kvferry_error_code(NULL) == KVFERRY_OK);
  CHECK(strcmp(kvferry_error_message(NULL), "") == 0);
  // A success clears what was there; a caller without an error object gets the code alone.
  kvferry_error* error = (kvferry_error*)&error;
  kvferry_shape shape = small_shape();
  OK(kvferry_shape_default(&shape, &error));
  CHECK(error == NULL);
  shape.layers = 0;
  uint64_t bytes = 7;
  CHECK(kvferry_shape_block_bytes(&shape, &bytes, NULL) == KVFERRY_INVALID_ARGUMENT);
  CHECK(bytes == 0);
}

static void shapes(void) {
  kvferry_error* error;
  kvferry_shape shape = {.struct_size = sizeof shape};
  uint64_t value;
  FAILS(KVFERRY_INVALID_ARGUMENT, "layers", kvferry_shape_block_bytes(&shape, &value, &error));
  OK(kvferry_shape_default(&shape, &error));
  CHECK(shape.struct_size == sizeof shape && shape.layers == 40 && shape.dtype == KVFERRY_BF16);
  OK(kvferry_shape_block_bytes(&shape, &value, &error));
  CHECK(value == 65536);
  OK(kvferry_shape_blocks_for(&shape, 4ull << 30, &value, &error));
  CHECK(value == 1638);
  OK(kvferry_shape_blocks_for_tokens(&shape, 1025, &value, &error));
  CHECK(value == 65);
  shape.dtype = 17;
  FAILS(KVFERRY_INVALID_ARGUMENT, "dtype 17", kvferry_shape_block_bytes(&shape, &value, &error));
}

static void model_configs(void) {
  static const char config[] =
      "{\"model_type\": \"mistral\", \"num_hidden_layers\": 32, \"num_attention_heads\": 32,"
      " \"num_key_value_heads\": 8, \"hidden_size\": 4096, \"torch_dtype\": \"float16\"}";
  kvferry_error* error;
  kvferry_shape shape = small_shape();
  OK(kvferry_shape_from_model_config(config, strlen(config), &shape, &error));
  CHECK(shape.layers == 32 && shape.kv == 2 && shape.kv_heads == 8 && shape.head_dim == 128);
  CHECK(shape.block_tokens == 4 && shape.dtype == KVFERRY_FP16);
  FAILS(KVFERRY_INVALID_ARGUMENT, "", kvferry_shape_from_model_config("{", 1, &shape, &error));
  CHECK(shape.layers == 32);
}

static void dtypes(void) {
  kvferry_error* error;
  int32_t dtype = 0;
  OK(kvferry_dtype_parse("fp8_e4m3", &dtype, &error));
  CHECK(dtype == KVFERRY_FP8_E4M3);
  CHECK(strcmp(kvferry_dtype_name(KVFERRY_INT8), "int8") == 0);
  CHECK(kvferry_dtype_name(KVFERRY_INT8 + 1) == NULL && kvferry_dtype_name(-1) == NULL);
  FAILS(KVFERRY_INVALID_ARGUMENT, "bf15", kvferry_dtype_parse("bf15", &dtype, &error));
}

// A program built with a newer header, and one built with an older one.
static void other_sizes(void) {
  struct {
    kvferry_shape known;
    uint64_t later;
  } newer = {small_shape(), 0};
  kvferry_error* error;
  uint64_t bytes;
  newer.known.struct_size = sizeof newer;
  OK(kvferry_shape_block_bytes(&newer.known, &bytes, &error));
  CHECK(bytes == 128);
  newer.later = 1;
  FAILS(KVFERRY_INVALID_ARGUMENT, "too old",
        kvferry_shape_block_bytes(&newer.known, &bytes, &error));
  OK(kvferry_shape_default(&newer.known, &error));
  CHECK(newer.known.struct_size == sizeof newer && newer.later == 0 && newer.known.layers == 40);

  kvferry_shape older = small_shape();
  older.struct_size = offsetof(kvferry_shape, dtype);
  OK(kvferry_shape_default(&older, &error));
  CHECK(older.layers == 40 &&
        older.dtype == KVFERRY_FP16);  // what it has no room for is not touched
  OK(kvferry_shape_block_bytes(&older, &bytes, &error));
  CHECK(bytes == 65536);  // what it does not have is the default

  older.struct_size = 0;
  FAILS(KVFERRY_INVALID_ARGUMENT, "struct_size is 0",
        kvferry_shape_block_bytes(&older, &bytes, &error));
  older.struct_size = (size_t)-1;  // memory that nobody cleared
  FAILS(KVFERRY_INVALID_ARGUMENT, "struct_size", kvferry_shape_default(&older, &error));
}

void test_values(void) {
  versions();
  errors();
  shapes();
  model_configs();
  dtypes();
  other_sizes();
}
