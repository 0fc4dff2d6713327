// kvferry._core: the C++ API as the Python package uses it. See python/kvferry for what users see.
#include "bindings.hpp"
#include "deliveries.hpp"
#include "errors.hpp"
#include "gil.hpp"
#include "kvferry/version.hpp"
#include "nanobind.hpp"

NB_MODULE(_core, m) {
  using namespace kvferry::python;
  // What a program still holds when it ends is no leak of ours.
  nb::set_leak_warnings(false);
  watch_forks();
  bind_errors(m);
  bind_deliveries(m);
  bind_shape(m);
  bind_pool(m);
  bind_arrays(m);
  bind_transfer(m);
  bind_peer(m);
  bind_node(m);
  m.def("version", [] { return kvferry::version(); });
  m.def("build_description", [] { return kvferry::build_description(); });
}
