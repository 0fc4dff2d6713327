#pragma once

#include "gil.hpp"
#include "kvferry/node.hpp"

namespace kvferry::python {

// What Python holds of a connected node.
struct PyPeer : Owned<Peer> {
  using Owned::Owned;
};

}  // namespace kvferry::python
