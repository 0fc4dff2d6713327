#pragma once

#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "capi/handles.hpp"

namespace kvferry::capi {

// Gives the caller the code and, where it wants one, an error object. Never throws: without memory
// for the object there is none.
kvferry_code fail(kvferry_error** error, ErrorCode code, const char* message) noexcept;

// Runs the body of a call: what it throws becomes the call's code and error.
template <typename Body>
kvferry_code guard(kvferry_error** error, Body body) noexcept {
  if (error != nullptr) *error = nullptr;
  try {
    body();
    return KVFERRY_OK;
  } catch (const Error& thrown) {
    return fail(error, thrown.code(), thrown.what());
  } catch (const std::bad_alloc&) {
    return fail(error, ErrorCode::resource, "out of memory");
  } catch (const std::system_error& thrown) {  // no thread, no descriptor
    return fail(error, ErrorCode::resource, thrown.what());
  } catch (const std::exception& thrown) {
    return fail(error, ErrorCode::failed, thrown.what());
  } catch (...) {
    return fail(error, ErrorCode::failed, "an exception of an unknown type");
  }
}

[[noreturn]] inline void refuse(const std::string& message) {
  throw Error(ErrorCode::invalid_argument, message);
}

// What a pointer of the caller's points to. Throws: Error{invalid_argument} when it is NULL.
template <typename T>
T& need(T* pointer, const char* name) {
  if (pointer == nullptr) refuse(std::string(name) + " is NULL");
  return *pointer;
}

// The same for a call whose body returns its one result; where it throws, the result is NULL or 0.
template <typename T, typename Body>
kvferry_code produce(T* out, const char* name, kvferry_error** error, Body body) noexcept {
  return guard(error, [&] {
    need(out, name) = T{};
    *out = body();
  });
}

// A new handle, the caller's to free.
template <typename Handle, typename... Parts>
Handle* make(Parts&&... parts) {
  return new Handle{std::forward<Parts>(parts)...};
}

// A text for the caller to free with kvferry_string_free.
char* give(const std::string& text);

}  // namespace kvferry::capi
