#include "ids.hpp"

#include <fmt/format.h>

#include <cstring>
#include <string>

#include "gil.hpp"
#include "kvferry/error.hpp"

namespace kvferry::python {
namespace {

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorCode::invalid_argument, message);
}

[[noreturn]] void refuse_id(std::string_view name, std::size_t at, const std::string& id) {
  refuse(fmt::format("{}[{}] is {}: a block id is 0 to {}", name, at, id, UINT32_MAX));
}

std::string type_of(nb::handle object) { return nb::inst_name(object).c_str(); }

}  // namespace

Ids::Ids(nb::handle object, std::string_view name) : name_(name) {
  if (PyList_Check(object.ptr()) || PyTuple_Check(object.ptr())) {
    take_sequence(object);
  } else if (Py_IS_TYPE(object.ptr(), &PyRange_Type)) {
    take_range(object);
  } else if (take_buffer(object) || take_dlpack(object)) {
    return;
  } else if (PySequence_Check(object.ptr()) != 0 && !PyUnicode_Check(object.ptr())) {
    take_sequence(object);
  } else {
    refuse(fmt::format("{} is a {}; give a list, a range, or an array of integers", name_,
                       type_of(object)));
  }
}

void Ids::push(std::int64_t id, std::size_t at) {
  if (id < 0 || id > UINT32_MAX) refuse_id(name_, at, std::to_string(id));
  ids_.push_back(static_cast<std::uint32_t>(id));
}

void Ids::take_range(nb::handle object) {
  const auto count = nb::len(object);
  const auto start = nb::cast<std::int64_t>(object.attr("start"));
  const auto step = nb::cast<std::int64_t>(object.attr("step"));
  ids_.reserve(count);
  // The ends first: with both in bounds nothing between them overflows.
  if (count > 0) {
    const auto last = nb::cast<std::int64_t>(object[count - 1]);
    if (last < 0 || last > UINT32_MAX) refuse_id(name_, count - 1, std::to_string(last));
  }
  for (std::size_t i = 0; i < count; ++i) push(start + static_cast<std::int64_t>(i) * step, i);
}

void Ids::take_sequence(nb::handle object) {
  const nb::object fast = nb::steal(PySequence_List(object.ptr()));
  if (!fast) throw nb::python_error();
  const auto count = static_cast<std::size_t>(PyList_Size(fast.ptr()));
  ids_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    PyObject* const item = PyList_GetItem(fast.ptr(), static_cast<Py_ssize_t>(i));
    // Of NumPy's and others' integers, too; a float is refused here.
    const nb::object index = nb::steal(PyNumber_Index(item));
    if (!index) {
      PyErr_Clear();
      refuse(fmt::format("{}[{}] is a {}, not an integer", name_, i, type_of(item)));
    }
    int overflow = 0;
    const long long id = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
    if (overflow != 0) refuse_id(name_, i, nb::str(index).c_str());
    push(id, i);
  }
}

bool Ids::take_buffer(nb::handle object) {
  if (PyObject_CheckBuffer(object.ptr()) == 0) return false;
  Py_buffer& view = buffer_.view;
  if (PyObject_GetBuffer(object.ptr(), &view, PyBUF_STRIDES | PyBUF_FORMAT) != 0) {
    PyErr_Clear();  // an array without this protocol after all
    view = {};
    return false;
  }
  const char* format = view.format == nullptr ? "B" : view.format;
  // Native order, said or not.
  if (*format == '@' || *format == '=' || *format == '<') ++format;
  const bool is_signed = std::strchr("bhilqn", *format) != nullptr;
  const bool is_unsigned = std::strchr("BHILQN", *format) != nullptr;
  if (*format == '\0' || format[1] != '\0' || (!is_signed && !is_unsigned))
    refuse(fmt::format("{}: elements of format '{}' are no block ids; give integers", name_,
                       view.format));
  if (view.ndim != 1)
    refuse(fmt::format("{} has {} dimensions; block ids are a flat list", name_, view.ndim));
  array_ = {.data = static_cast<const std::byte*>(view.buf),
            .count = static_cast<std::size_t>(view.shape[0]),
            .stride = view.strides == nullptr ? view.itemsize : view.strides[0],
            .item_bytes = static_cast<std::size_t>(view.itemsize),
            .is_signed = is_signed};
  return true;
}

bool Ids::take_dlpack(nb::handle object) {
  if (!nb::try_cast(object, dlpack_) || !dlpack_.is_valid()) return false;
  if (dlpack_.device_type() != nb::device::cpu::value)
    refuse(fmt::format("{} lie on a GPU; block ids are read by the host: give ids.cpu()", name_));
  const auto dtype = dlpack_.dtype();
  const auto code = static_cast<nb::dlpack::dtype_code>(dtype.code);
  const bool is_signed = code == nb::dlpack::dtype_code::Int;
  if ((!is_signed && code != nb::dlpack::dtype_code::UInt) || dtype.lanes != 1)
    refuse(fmt::format("{} are no integers; block ids are", name_));
  if (dlpack_.ndim() != 1)
    refuse(fmt::format("{} has {} dimensions; block ids are a flat list", name_, dlpack_.ndim()));
  array_ = {.data = reinterpret_cast<const std::byte*>(dlpack_.data()),
            .count = dlpack_.shape(0),
            .stride = dlpack_.stride(0) * (dtype.bits / 8),
            .item_bytes = dtype.bits / 8u,
            .is_signed = is_signed};
  return true;
}

template <typename T>
void Ids::narrow() {
  const std::byte* at = array_.data;
  for (std::size_t i = 0; i < array_.count; ++i, at += array_.stride) {
    T id;
    std::memcpy(&id, at, sizeof id);
    if (!std::in_range<std::uint32_t>(id)) refuse_id(name_, i, std::to_string(id));
    ids_[i] = static_cast<std::uint32_t>(id);
  }
}

std::span<const std::uint32_t> Ids::get() {
  if (array_.count == 0) return ids_;
  ids_.resize(array_.count);
  switch (array_.item_bytes * 2 + (array_.is_signed ? 1 : 0)) {
    case 2: narrow<std::uint8_t>(); break;
    case 3: narrow<std::int8_t>(); break;
    case 4: narrow<std::uint16_t>(); break;
    case 5: narrow<std::int16_t>(); break;
    case 8: narrow<std::uint32_t>(); break;
    case 9: narrow<std::int32_t>(); break;
    case 16: narrow<std::uint64_t>(); break;
    case 17: narrow<std::int64_t>(); break;
    default: refuse(fmt::format("{}: integers of {} bytes", name_, array_.item_bytes));
  }
  return ids_;
}

}  // namespace kvferry::python
