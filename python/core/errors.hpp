#pragma once

#include "nanobind.hpp"

namespace kvferry::python {

// kvferry::Error becomes the exception class that Python has registered for its code.
void bind_errors(nb::module_& m);

// Lets Python handle a signal (Ctrl-C) that came meanwhile; throws what its handler raised.
void check_signals();

}  // namespace kvferry::python
