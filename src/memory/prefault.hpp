#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kvferry::memory {

// What the rest of the process (and page tables, 1/512 of the pool) may need beside a pool.
inline constexpr std::uint64_t kReserveBytes = 64ull << 20;

// Throws: Error{resource} naming the bytes asked, why not, and the bytes available.
[[noreturn]] void too_little(std::uint64_t bytes, std::string_view why);

// Faults in every page of a shared mapping, in pages of 2 MiB where the kernel will (MADV_COLLAPSE,
// Linux 6.1: it needs no setting of the administrator's). Untouched pages cost a transfer more than
// the copy; small ones cost scattered rows 4 to 12 % (bench_host_copy), an importer the time to
// fill its page tables, and here ten times the time to clear.
// Throws: Error{resource} when memory runs out on the way.
void prefault(std::byte* base, std::uint64_t bytes);

}  // namespace kvferry::memory
