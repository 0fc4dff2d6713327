#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "kvferry/error.hpp"
#include "registry/etcd_messages.hpp"
#include "registry/record.hpp"
#include "registry/url.hpp"

namespace {

template <typename F>
void attempt(F&& read) {
  try {
    read();
  } catch (const kvferry::Error&) {
  }
}

}  // namespace

// Whatever a registry holds or answers gives good values or an Error, and nothing else; and an
// entry that was read can be announced again, to the same effect.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace registry = kvferry::registry;
  namespace etcd = kvferry::registry::etcd;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  attempt([&] { etcd::read_grant(text); });
  attempt([&] { etcd::read_keep_alive(text); });
  attempt([&] { etcd::read_time_left(text); });
  attempt([&] { etcd::read_claim(text); });
  attempt([&] { etcd::read_token(text); });
  attempt([&] { registry::parse_url(text); });
  etcd::read_problem(text);
  attempt([&] {
    for (const registry::Entry& entry : etcd::read_page(text).entries)
      attempt([&] { registry::decode(entry.name, entry.value); });
  });
  registry::Record record;
  try {
    record = registry::decode("fuzz", text);
  } catch (const kvferry::Error&) {
    return 0;
  }
  // Texts may grow by escapes when they are written again; past the limit that is refused.
  attempt([&] {
    const std::string again = registry::encode(record);
    if (registry::encode(registry::decode("fuzz", again)) != again) std::abort();
  });
  return 0;
}
