#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <string>
#include <tuple>

#include "kvferry/error.hpp"
#include "kvferry/node.hpp"
#include "kvferry/pool.hpp"
#include "kvferry/shape.hpp"
#include "kvferry/transfer.hpp"
#include "nanobind.hpp"

namespace kvferry::python {

// The module kvferry._core, one function for each part of it. It mirrors the C++ API one to one and
// takes what the Python layer above has put into shape; users see only that layer.
void bind_shape(nb::module_& m);
void bind_pool(nb::module_& m);
void bind_arrays(nb::module_& m);
void bind_transfer(nb::module_& m);
void bind_peer(nb::module_& m);
void bind_node(nb::module_& m);

nb::object transfer_to_python(Transfer transfer);
nb::object prepared_to_python(PreparedTransfer prepared);
// A tuple both ways: the Python class is a dataclass of these fields.
using ShapeFields = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t,
                               std::uint32_t, std::string>;
ShapeFields shape_to_python(const CacheShape& shape);
CacheShape shape_from_python(const ShapeFields& fields);
const Pool& pool_from_python(nb::handle pool);

// Seconds as Python gives them. Throws: Error{invalid_argument} for what is no time.
template <typename Duration>
Duration to_duration(double seconds, const char* name) {
  if (std::isnan(seconds) || seconds < 0)
    throw Error(ErrorCode::invalid_argument,
                std::string(name) + " is " + std::to_string(seconds) + " s; give 0 or more");
  // Far beyond any wait, and no overflow in nanoseconds.
  constexpr double kLongest = 1e9;
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(seconds < kLongest ? seconds : kLongest));
}

// How long to wait before Python is to be asked whether a signal came.
inline constexpr auto kSlice = std::chrono::milliseconds(50);

}  // namespace kvferry::python
