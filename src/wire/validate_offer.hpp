#pragma once

#include "wire/check.hpp"
#include "wire/messages.hpp"

namespace kvferry::wire {

// The memory of a grant: regions, their chunks, and that every row of every plane lies within its
// region, so that an importer may compute addresses from it without another look.
void validate_offer(const PoolGrant& grant, const Check& check);

}  // namespace kvferry::wire
