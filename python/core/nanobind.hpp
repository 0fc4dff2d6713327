#pragma once

// nanobind with every type caster that is used, for all sources alike: one that lacked a header
// would instantiate the same templates in another way.
#include <nanobind/nanobind.h>         // IWYU pragma: export
#include <nanobind/ndarray.h>          // IWYU pragma: export
#include <nanobind/stl/optional.h>     // IWYU pragma: export
#include <nanobind/stl/pair.h>         // IWYU pragma: export
#include <nanobind/stl/string.h>       // IWYU pragma: export
#include <nanobind/stl/string_view.h>  // IWYU pragma: export
#include <nanobind/stl/tuple.h>        // IWYU pragma: export
#include <nanobind/stl/vector.h>       // IWYU pragma: export

namespace kvferry::python {
namespace nb = nanobind;
}  // namespace kvferry::python
