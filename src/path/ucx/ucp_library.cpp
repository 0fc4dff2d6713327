#include "path/ucx/ucp_library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "kvferry/error.hpp"

namespace kvferry::path::ucx {
namespace {

constexpr const char* kName = "libucp.so.0";
constexpr unsigned kOldestMajor = 1, kOldestMinor = 13;

struct Loaded {
  UcpLibrary functions{};
  std::string why_not;
};

// Whichever is missing first is named.
class Finder {
 public:
  explicit Finder(void* library) : library_(library) {}
  template <typename F>
  Finder& find(F& function, const char* symbol) {
    if (!missing_.empty()) return *this;
    function = reinterpret_cast<F>(::dlsym(library_, symbol));
    if (function == nullptr) missing_ = symbol;
    return *this;
  }
  const std::string& missing() const { return missing_; }

 private:
  void* library_;
  std::string missing_;
};

std::string find_all(void* library, UcpLibrary& l) {
  return Finder(library)
      .find(l.get_version, "ucp_get_version")
      .find(l.get_version_string, "ucp_get_version_string")
      .find(l.config_read, "ucp_config_read")
      .find(l.config_modify, "ucp_config_modify")
      .find(l.config_release, "ucp_config_release")
      .find(l.init_version, "ucp_init_version")
      .find(l.cleanup, "ucp_cleanup")
      .find(l.context_query, "ucp_context_query")
      .find(l.worker_create, "ucp_worker_create")
      .find(l.worker_destroy, "ucp_worker_destroy")
      .find(l.worker_progress, "ucp_worker_progress")
      .find(l.worker_get_efd, "ucp_worker_get_efd")
      .find(l.worker_arm, "ucp_worker_arm")
      .find(l.worker_get_address, "ucp_worker_get_address")
      .find(l.worker_release_address, "ucp_worker_release_address")
      .find(l.mem_map, "ucp_mem_map")
      .find(l.mem_unmap, "ucp_mem_unmap")
      .find(l.rkey_pack, "ucp_rkey_pack")
      .find(l.rkey_buffer_release, "ucp_rkey_buffer_release")
      .find(l.ep_create, "ucp_ep_create")
      .find(l.ep_close, "ucp_ep_close_nbx")
      .find(l.ep_flush, "ucp_ep_flush_nbx")
      .find(l.ep_print_info, "ucp_ep_print_info")
      .find(l.ep_rkey_unpack, "ucp_ep_rkey_unpack")
      .find(l.rkey_destroy, "ucp_rkey_destroy")
      .find(l.get, "ucp_get_nbx")
      .find(l.put, "ucp_put_nbx")
      .find(l.request_free, "ucp_request_free")
      .find(l.status_string, "ucs_status_string")
      .missing();
}

// UCX writes its warnings to standard output, where a program's results go; what we make of them
// comes in our errors. Whoever has set another level than the built-in one keeps it.
void keep_quiet(void* library) {
  using Get = ucs_status_t (*)(const char*, char*, std::size_t);
  using Set = ucs_status_t (*)(const char*, const char*);
  const auto get = reinterpret_cast<Get>(::dlsym(library, "ucs_global_opts_get_value"));
  const auto set = reinterpret_cast<Set>(::dlsym(library, "ucs_global_opts_set_value"));
  char level[64] = {};
  if (get == nullptr || set == nullptr || get("LOG_LEVEL", level, sizeof level) != UCS_OK) return;
  if (::strcasecmp(level, "warn") == 0) set("LOG_LEVEL", "fatal");
}

// Never unloaded: it has threads and hooks of its own.
Loaded load() {
  Loaded loaded;
  void* library = ::dlopen(kName, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    loaded.why_not = fmt::format(
        "UCX cannot be loaded ({}); install it (Debian: libucx0), or point LD_LIBRARY_PATH at it",
        ::dlerror());
    return loaded;
  }
  if (const auto missing = find_all(library, loaded.functions); !missing.empty()) {
    loaded.why_not = fmt::format("{} has no {}; UCX {}.{} or newer is needed", kName, missing,
                                 kOldestMajor, kOldestMinor);
    return loaded;
  }
  unsigned major = 0, minor = 0, release = 0;
  loaded.functions.get_version(&major, &minor, &release);
  if (std::pair(major, minor) < std::pair(kOldestMajor, kOldestMinor))
    loaded.why_not = fmt::format("UCX {}.{}.{} is too old; {}.{} or newer is needed", major, minor,
                                 release, kOldestMajor, kOldestMinor);
  keep_quiet(library);
  return loaded;
}

const Loaded& loaded_once() {
  static const Loaded loaded = load();
  return loaded;
}

}  // namespace

std::string UcpLibrary::why_not() { return loaded_once().why_not; }

const UcpLibrary& UcpLibrary::get_loaded() {
  const Loaded& loaded = loaded_once();
  if (!loaded.why_not.empty()) throw Error(ErrorCode::resource, loaded.why_not);
  return loaded.functions;
}

std::string UcpLibrary::text_of(ucs_status_t status) const {
  return fmt::format("{} ({})", status_string(status), static_cast<int>(status));
}

std::string UcpLibrary::version() const {
  unsigned major = 0, minor = 0, release = 0;
  get_version(&major, &minor, &release);
  return fmt::format("{}.{}.{}", major, minor, release);
}

}  // namespace kvferry::path::ucx
