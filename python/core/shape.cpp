#include "bindings.hpp"

namespace kvferry::python {

ShapeFields shape_to_python(const CacheShape& s) {
  return {s.layers, s.kv, s.kv_heads, s.head_dim, s.block_tokens, std::string(to_string(s.dtype))};
}

CacheShape shape_from_python(const ShapeFields& fields) {
  CacheShape s;
  std::string dtype;
  std::tie(s.layers, s.kv, s.kv_heads, s.head_dim, s.block_tokens, dtype) = fields;
  s.dtype = parse_dtype(dtype);
  return s;
}

void bind_shape(nb::module_& m) {
  m.def("check_shape", [](const ShapeFields& s) { shape_from_python(s).validate(); });
  m.def("block_bytes", [](const ShapeFields& s) { return shape_from_python(s).block_bytes(); });
  m.def("blocks_for", [](const ShapeFields& s, std::uint64_t bytes) {
    return shape_from_python(s).blocks_for(bytes);
  });
  m.def("shape_text", [](const ShapeFields& s) { return shape_from_python(s).to_string(); });
  m.def("shape_from_model_config", [](const std::string& json, const ShapeFields& base) {
    return shape_to_python(shape_from_model_config(json, shape_from_python(base)));
  });
  m.def("dtype_bytes", [](const std::string& name) { return dtype_bytes(parse_dtype(name)); });
}

}  // namespace kvferry::python
