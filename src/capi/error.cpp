#include <cstdlib>
#include <cstring>

#include "capi/guard.hpp"

namespace kvferry::capi {

static_assert(static_cast<int>(ErrorCode::failed) == KVFERRY_FAILED);
static_assert(static_cast<int>(ErrorCode::invalid_argument) == KVFERRY_INVALID_ARGUMENT);
static_assert(static_cast<int>(ErrorCode::unreachable) == KVFERRY_UNREACHABLE);
static_assert(static_cast<int>(ErrorCode::refused) == KVFERRY_REFUSED);
static_assert(static_cast<int>(ErrorCode::deadline) == KVFERRY_DEADLINE);
static_assert(static_cast<int>(ErrorCode::resource) == KVFERRY_RESOURCE);
static_assert(static_cast<int>(ErrorCode::cancelled) == KVFERRY_CANCELLED);

kvferry_code fail(kvferry_error** error, ErrorCode code, const char* message) noexcept {
  const auto number = static_cast<kvferry_code>(code);
  if (error == nullptr) return number;
  try {
    *error = make<kvferry_error>(number, std::string(message));
  } catch (const std::exception&) {
    *error = nullptr;
  }
  return number;
}

char* give(const std::string& text) {
  char* const copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) throw std::bad_alloc();
  std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

}  // namespace kvferry::capi

extern "C" {

uint32_t kvferry_abi_version(void) { return KVFERRY_ABI_VERSION; }

// The views below are of literals, which end with a 0.
const char* kvferry_version(void) { return kvferry::version().data(); }
const char* kvferry_build(void) { return kvferry::build_description().data(); }

const char* kvferry_code_name(kvferry_code code) {
  return code == KVFERRY_OK ? "ok" : to_string(static_cast<kvferry::ErrorCode>(code)).data();
}

kvferry_code kvferry_error_code(const kvferry_error* error) {
  return error == nullptr ? KVFERRY_OK : error->code;
}

const char* kvferry_error_message(const kvferry_error* error) {
  return error == nullptr ? "" : error->message.c_str();
}

void kvferry_error_free(kvferry_error* error) { delete error; }
void kvferry_string_free(char* text) { std::free(text); }

}  // extern "C"
