// What an array that speaks DLPack says of itself.

#include <cstdint>

#include "bindings.hpp"

namespace kvferry::python {
namespace {

// Elements and bytes as DLPack counts them; strides in bytes, as everybody else does.
template <typename Array>
nb::tuple describe(const Array& array, bool read_only) {
  const nb::dlpack::dtype dtype = array.dtype();
  nb::list shape, strides;
  for (std::size_t d = 0; d < array.ndim(); ++d) {
    shape.append(array.shape(d));
    strides.append(array.stride(d) * dtype.bits * dtype.lanes / 8);
  }
  return nb::make_tuple(reinterpret_cast<std::uintptr_t>(array.data()), nb::tuple(shape),
                        nb::tuple(strides), static_cast<int>(dtype.code),
                        static_cast<int>(dtype.bits), static_cast<int>(dtype.lanes),
                        array.device_type(), array.device_id(), read_only, nb::cast(array));
}

}  // namespace

void bind_arrays(nb::module_& m) {
  // (address, shape, strides, code, bits, lanes, device type, device, read-only, what keeps it), or
  // None where it is no such array.
  m.def("describe_dlpack", [](nb::handle object) -> nb::object {
    nb::ndarray<> writable;
    if (nb::try_cast(object, writable)) return describe(writable, false);
    nb::ndarray<nb::ro> readable;
    if (nb::try_cast(object, readable)) return describe(readable, true);
    return nb::none();
  });
}

}  // namespace kvferry::python
