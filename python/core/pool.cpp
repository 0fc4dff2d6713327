#include "kvferry/pool.hpp"

#include "bindings.hpp"
#include "deliveries.hpp"
#include "gil.hpp"

namespace kvferry::python {
namespace {

// What Python holds.
struct PyPool : Owned<Pool> {
  using Owned::Owned;
};

// "host" is kind 0, a GPU its ordinal.
Device device_of(bool cuda, int ordinal) { return cuda ? Device::cuda(ordinal) : Device::host(); }

PyPool allocate(const ShapeFields& shape_fields, std::uint32_t blocks, bool cuda, int ordinal,
                std::string name, std::string tag, bool writable) {
  const CacheShape shape = shape_from_python(shape_fields);
  const PoolOptions options{std::move(name), std::move(tag), writable};
  return without_gil(
      [&] { return PyPool(Pool::allocate(device_of(cuda, ordinal), shape, blocks, options)); });
}

PyPool attach(const ShapeFields& shape_fields, std::uint32_t blocks,
              const std::vector<std::uintptr_t>& addresses, std::uint64_t block_stride,
              std::string name, std::string tag, bool writable, nb::object owner) {
  AttachOptions options;
  options.shape = shape_from_python(shape_fields);
  options.blocks = blocks;
  for (const std::uintptr_t address : addresses)
    options.bases.push_back(reinterpret_cast<void*>(address));
  options.block_stride = block_stride;
  options.options = {std::move(name), std::move(tag), writable};
  options.keep_alive = keep(std::move(owner));
  return without_gil([&] { return PyPool(Pool::attach(options)); });
}

// "A view of the pool's memory that keeps it alive: shape and strides in elements."
nb::object view(const PyPool& self, std::uintptr_t address, const std::vector<std::size_t>& shape,
                const std::vector<std::int64_t>& strides, int code, int bits) {
  const Pool& pool = *self;
  const nb::capsule owner(new Owned<Pool>(pool),
                          [](void* held) noexcept { delete static_cast<Owned<Pool>*>(held); });
  const bool cuda = pool.device().is_cuda();
  const nb::dlpack::dtype dtype{static_cast<std::uint8_t>(code), static_cast<std::uint8_t>(bits),
                                1};
  const nb::ndarray<nb::array_api> array(
      reinterpret_cast<void*>(address), shape.size(), shape.data(), owner, strides.data(), dtype,
      cuda ? nb::device::cuda::value : nb::device::cpu::value, pool.device().ordinal);
  return nb::cast(array);
}

}  // namespace

const Pool& pool_from_python(nb::handle pool) { return *nb::cast<const PyPool&>(pool); }

void bind_pool(nb::module_& m) {
  nb::class_<PyPool>(m, "Pool")
      .def_prop_ro("name", [](const PyPool& p) { return p->name(); })
      .def_prop_ro("tag", [](const PyPool& p) { return p->tag(); })
      .def_prop_ro("shape", [](const PyPool& p) { return shape_to_python(p->shape()); })
      .def_prop_ro("blocks", [](const PyPool& p) { return p->blocks(); })
      .def_prop_ro("is_cuda", [](const PyPool& p) { return p->device().is_cuda(); })
      .def_prop_ro("ordinal", [](const PyPool& p) { return p->device().ordinal; })
      .def_prop_ro("writable", [](const PyPool& p) { return p->writable(); })
      .def_prop_ro("generation", [](const PyPool& p) { return p->generation(); })
      .def_prop_ro("kv_parts", [](const PyPool& p) { return p->kv_parts(); })
      .def_prop_ro("block_stride", [](const PyPool& p) { return p->block_stride(); })
      .def("address",
           [](const PyPool& p, std::uint32_t layer, std::uint32_t part) {
             return reinterpret_cast<std::uintptr_t>(p->layer(layer, part));
           })
      .def("view", &view)
      .def("revoke", [](const PyPool& p, double timeout) {
        Pool pool = *p;
        const auto limit = to_duration<std::chrono::milliseconds>(timeout, "timeout");
        without_gil([&] { pool.revoke(limit); });
      });
  m.def("allocate", &allocate);
  m.def("attach", &attach);
  m.def("cuda_device_count", [] {
    std::string why;
    const int count = without_gil([&] { return cuda_device_count(&why); });
    return std::pair(count, why);
  });
}

}  // namespace kvferry::python
