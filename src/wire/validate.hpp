#pragma once

#include "kvferry/error.hpp"
#include "wire/messages.hpp"

namespace kvferry::wire {

// Every rule of docs/wire.md about the values of a message. Both directions pass it: what we send
// is what we would accept. Throws: Error{code} naming message and field.
void validate(const Message& message, ErrorCode code);

}  // namespace kvferry::wire
