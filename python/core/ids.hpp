#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "nanobind.hpp"

namespace kvferry::python {

// Block ids as a caller gives them: a list, tuple or range of ints, or a one-dimensional array of
// any integer type by the buffer protocol or DLPack. Holds the array until it goes.
class Ids {
 public:
  // Takes what needs the GIL; arrays are only looked at. `name` is the argument's, for messages.
  // Throws: Error{invalid_argument}, or what Python raises.
  Ids(nb::handle object, std::string_view name);
  Ids(const Ids&) = delete;
  Ids& operator=(const Ids&) = delete;

  // As 32-bit ids. Always a copy: another thread of Python's may write to the array meanwhile, and
  // ids must not change once they were checked. Needs no GIL. Throws: Error{invalid_argument}
  // naming the first that is negative or too large.
  std::span<const std::uint32_t> get();

 private:
  struct Array {
    const std::byte* data = nullptr;
    std::size_t count = 0;
    std::int64_t stride = 0;  // bytes
    std::size_t item_bytes = 0;
    bool is_signed = false;
  };
  // A member of its own: ids that are refused let go of the array, too.
  struct Buffer {
    Py_buffer view{};
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() {
      if (view.obj != nullptr) PyBuffer_Release(&view);
    }
  };
  bool take_buffer(nb::handle object);
  bool take_dlpack(nb::handle object);
  void take_range(nb::handle object);
  void take_sequence(nb::handle object);
  void push(std::int64_t id, std::size_t at);
  template <typename T>
  void narrow();

  const std::string_view name_;
  Array array_;
  std::vector<std::uint32_t> ids_;
  Buffer buffer_;
  nb::ndarray<nb::ro> dlpack_;
};

}  // namespace kvferry::python
