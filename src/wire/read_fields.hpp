#pragma once

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "control_generated.h"
#include "wire/check.hpp"
#include "wire/messages.hpp"

// From verified bytes to values: what decode.cpp and decode_moves.cpp share. The verifier vouches
// for structure alone: here sizes are bounded before anything is allocated for them.
namespace kvferry::wire {

template <typename T>
using Vector = flatbuffers::Vector<T>;

template <std::size_t N, typename Struct>
void read_bytes(const Struct* from, std::array<std::byte, N>& to) {
  static_assert(sizeof(Struct) == N);
  if (from != nullptr) std::memcpy(to.data(), from, N);
}

// Absent text is empty; text that is too long is refused before it is copied.
inline std::string read_text(const flatbuffers::String* text, std::string_view field,
                             const Check& check, std::size_t max_bytes = kMaxTextBytes) {
  if (text == nullptr) return {};
  if (text->size() > max_bytes)
    check.fail(field, fmt::format("{} bytes of text, at most {}", text->size(), max_bytes));
  return text->str();
}

template <typename T>
std::size_t bounded_size(const Vector<T>* vector, std::string_view field, std::size_t most,
                         const Check& check) {
  if (vector == nullptr) return 0;
  check.range(field, vector->size(), 0, most);
  return vector->size();
}

// The verifier checks where a vector's length lies, not its elements; reading 64-bit fields off
// their alignment would be undefined.
template <typename T>
void require_aligned(const Vector<T>* vector, std::string_view field, const Check& check) {
  if (vector != nullptr && vector->size() > 0 &&
      reinterpret_cast<std::uintptr_t>(vector->Data()) % alignof(std::uint64_t) != 0)
    check.fail(field, "its elements are not aligned to 8 bytes");
}

// Of the messages with which blocks move over streams and by UCX (decode_moves.cpp).
Message read(const fb::MoveRequest& from, const Check& check);
Message read(const fb::MoveRuns& from, const Check& check);
Message read(const fb::MoveReady& from, const Check& check);
Message read(const fb::MoveCancel& from, const Check& check);
Message read(const fb::MoveEnd& from, const Check& check);
Message read(const fb::PoolOpened& from, const Check& check);
Message read(const fb::WantStreams& from, const Check& check);
Message read(const fb::AskUcx& from, const Check& check);
Message read(const fb::UcxAddress& from, const Check& check);
Message read(const fb::OpenUcx& from, const Check& check);
Message read(const fb::UcxGrant& from, const Check& check);

}  // namespace kvferry::wire
