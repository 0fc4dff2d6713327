#include <kvferry/kvferry.h>
#include <stdio.h>

// Uses the installed library by its C ABI: a value, and an error with its message.
int main(void) {
  kvferry_error* error;
  kvferry_shape shape = {.struct_size = sizeof shape};
  uint64_t blocks = 0;
  if (kvferry_shape_default(&shape, &error) != KVFERRY_OK) return 1;
  if (kvferry_shape_blocks_for(&shape, 4ull << 30, &blocks, &error) != KVFERRY_OK) return 1;
  if (blocks != 1638) return 1;
  int32_t dtype;
  if (kvferry_dtype_parse("bf15", &dtype, &error) != KVFERRY_INVALID_ARGUMENT) return 1;
  printf("%s: C consumer ok (%s)\n", kvferry_build(), kvferry_error_message(error));
  kvferry_error_free(error);
  return 0;
}
