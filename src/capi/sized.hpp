#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>

#include "capi/guard.hpp"

// Structs that the caller sized: programs built with an older or newer kvferry.h than this library.
namespace kvferry::capi {

// No struct of ours comes near it: a size beyond is memory that nobody cleared.
inline constexpr std::size_t kLargestStruct = 4096;

// Throws: Error{invalid_argument}.
inline void check_struct_size(std::size_t size, const char* name) {
  if (size >= sizeof(std::size_t) && size <= kLargestStruct) return;
  refuse(std::string(name) + ": struct_size is " + std::to_string(size) +
         "; set it to sizeof the struct");
}

// The caller's struct as this library knows it: fields it lacks are 0. Throws:
// Error{invalid_argument}, also for a field set that this library does not know.
template <typename Struct>
Struct read_sized(const Struct& given, const char* name) {
  static_assert(std::is_trivial_v<Struct>);
  const std::size_t size = given.struct_size;
  check_struct_size(size, name);
  const auto* bytes = reinterpret_cast<const unsigned char*>(&given);
  if (size > sizeof(Struct) &&
      std::any_of(bytes + sizeof(Struct), bytes + size, [](unsigned char b) { return b != 0; }))
    refuse(std::string(name) +
           " has a field set that this library is too old for (kvferry_abi_version)");
  Struct known{};
  std::memcpy(&known, &given, std::min(size, sizeof(Struct)));
  return known;
}

// The same of options that may be absent.
template <typename Struct>
Struct read_options(const Struct* given, const char* name) {
  return given == nullptr ? Struct{} : read_sized(*given, name);
}

// Fills what the caller has room for; what this library does not know becomes 0.
template <typename Struct>
void write_sized(Struct filled, Struct* out, const char* name) {
  const std::size_t size = need(out, name).struct_size;
  check_struct_size(size, name);
  filled.struct_size = size;
  std::memcpy(out, &filled, std::min(size, sizeof(Struct)));
  if (size > sizeof(Struct))
    std::memset(reinterpret_cast<unsigned char*>(out) + sizeof(Struct), 0, size - sizeof(Struct));
}

inline void check_reserved(std::uint32_t reserved, const char* name) {
  if (reserved != 0) refuse(std::string(name) + ": reserved is not 0; clear the struct first");
}

inline std::string text_or(const char* text, const char* otherwise) {
  return text == nullptr ? otherwise : text;
}

}  // namespace kvferry::capi
