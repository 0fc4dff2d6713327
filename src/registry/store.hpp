#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvferry::registry {

// Something that lives only as long as it is renewed, and takes the entries made under it along.
struct Lease {
  std::uint64_t id = 0;
  std::chrono::seconds time_to_live{};
};

struct Entry {
  std::string name, value;
  std::uint64_t lease = 0;  // 0: none, it stays for good
};

// What a registry keeps: entries by name, under leases. Calls block; one thread at a time, but for
// interrupt(). Each throws Error{unreachable} where nothing answers, Error{refused} where it was
// answered that it may not be, Error{cancelled} once interrupted.
class Store {
 public:
  virtual ~Store() = default;
  virtual Lease grant(std::chrono::seconds time_to_live) = 0;
  // False: the lease has ended, and its entry is gone.
  virtual bool keep_alive(const Lease& lease) = 0;
  // What is left of somebody's lease; nullopt: it has ended.
  virtual std::optional<std::chrono::seconds> time_left(std::uint64_t lease) = 0;
  // Writes the entry if nobody has the name, or this lease has it; otherwise nothing is written and
  // the other's entry comes back. Throws: Error{failed} where the lease has ended.
  virtual std::optional<Entry> claim(const Entry& entry) = 0;
  virtual std::optional<Entry> get(std::string_view name) = 0;
  virtual std::vector<Entry> list() = 0;
  // Ends the lease and its entry.
  virtual void revoke(const Lease& lease, std::chrono::milliseconds timeout) = 0;
  // From any thread: what is under way ends, and what is called later, until resume().
  virtual void interrupt() noexcept = 0;
  virtual void resume() noexcept = 0;
  // From then on nothing answers any more; time_point::max(): there is no such time.
  virtual void give_up_at(std::chrono::steady_clock::time_point until) noexcept = 0;
};

}  // namespace kvferry::registry
