#pragma once

#include <ucp/api/ucp.h>

#include <string>

namespace kvferry::path::ucx {

// The functions of libucp and libucs that we call. The library is found at run time: a machine
// without it runs the same kvferry, and a vendor's build is taken where LD_LIBRARY_PATH leads to
// it.
struct UcpLibrary {
  decltype(&::ucp_get_version) get_version;
  decltype(&::ucp_get_version_string) get_version_string;
  decltype(&::ucp_config_read) config_read;
  decltype(&::ucp_config_modify) config_modify;
  decltype(&::ucp_config_release) config_release;
  decltype(&::ucp_init_version) init_version;
  decltype(&::ucp_cleanup) cleanup;
  decltype(&::ucp_context_query) context_query;
  decltype(&::ucp_worker_create) worker_create;
  decltype(&::ucp_worker_destroy) worker_destroy;
  decltype(&::ucp_worker_progress) worker_progress;
  decltype(&::ucp_worker_get_efd) worker_get_efd;
  decltype(&::ucp_worker_arm) worker_arm;
  decltype(&::ucp_worker_get_address) worker_get_address;
  decltype(&::ucp_worker_release_address) worker_release_address;
  decltype(&::ucp_mem_map) mem_map;
  decltype(&::ucp_mem_unmap) mem_unmap;
  decltype(&::ucp_rkey_pack) rkey_pack;
  decltype(&::ucp_rkey_buffer_release) rkey_buffer_release;
  decltype(&::ucp_ep_create) ep_create;
  decltype(&::ucp_ep_close_nbx) ep_close;
  decltype(&::ucp_ep_flush_nbx) ep_flush;
  decltype(&::ucp_ep_print_info) ep_print_info;
  decltype(&::ucp_ep_rkey_unpack) ep_rkey_unpack;
  decltype(&::ucp_rkey_destroy) rkey_destroy;
  decltype(&::ucp_get_nbx) get;
  decltype(&::ucp_put_nbx) put;
  decltype(&::ucp_request_free) request_free;
  decltype(&::ucs_status_string) status_string;

  // Throws: Error{resource} saying what could not be loaded, and what to do. Loads once.
  static const UcpLibrary& get_loaded();
  // Why it cannot be loaded; empty: it is loaded now.
  static std::string why_not();

  // "No such device (-14)"
  std::string text_of(ucs_status_t status) const;
  std::string version() const;  // "1.13.1"
};

}  // namespace kvferry::path::ucx
