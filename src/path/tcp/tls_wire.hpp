#pragma once

#include <memory>

#include "path/tcp/wire_socket.hpp"
#include "session/data_stream.hpp"

namespace kvferry::path::tcp {

// A data stream as the session let it in: the socket as it is, or inside TLS.
std::unique_ptr<WireSocket> wire_over(session::DataStream stream);

}  // namespace kvferry::path::tcp
