#include "errors.hpp"

#include <array>
#include <cstdint>

#include "kvferry/error.hpp"

namespace kvferry::python {
namespace {

// By code. Kept for as long as the process lives.
std::array<PyObject*, 8> classes{};

void raise(const Error& error) {
  const auto code = static_cast<std::size_t>(error.code());
  PyObject* const type = code < classes.size() ? classes[code] : nullptr;
  PyErr_SetString(type != nullptr ? type : PyExc_RuntimeError, error.what());
}

}  // namespace

void check_signals() {
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

void bind_errors(nb::module_& m) {
  m.def("set_error_class", [](int code, nb::object type) {
    if (code < 1 || static_cast<std::size_t>(code) >= classes.size())
      throw nb::value_error("no such ErrorCode");
    PyObject*& slot = classes[static_cast<std::size_t>(code)];
    Py_XDECREF(slot);
    slot = type.release().ptr();
  });
  nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
    try {
      std::rethrow_exception(thrown);
    } catch (const Error& error) {
      raise(error);
    }
  });
}

}  // namespace kvferry::python
