// How the engine begins: which transports UCX may use, and its context and worker.
#include <fmt/format.h>

#include "path/ucx/ucp_engine.hpp"

namespace kvferry::path::ucx {

std::string UcpEngine::describe() {
  const auto& ucp = UcpLibrary::get_loaded();
  return fmt::format(
      "UCX {}, transports {}", ucp.version(),
      takes_software() ? transports_ : std::string(kRdmaTransports) + " (RDMA alone)");
}

ucp_config_t* UcpEngine::read_config() const {
  ucp_config_t* config = nullptr;
  if (const auto status = ucp_->config_read(nullptr, nullptr, &config); status != UCS_OK)
    throw Error(ErrorCode::resource, fmt::format("UCX cannot read its settings: {}; look at the "
                                                 "UCX_... variables of the environment",
                                                 ucp_->text_of(status)));
  const std::string& transports = takes_software() ? transports_ : std::string(kRdmaTransports);
  if (const auto status = ucp_->config_modify(config, "TLS", transports.c_str());
      status != UCS_OK) {
    ucp_->config_release(config);
    throw Error(ErrorCode::invalid_argument,
                fmt::format("UcxOptions::transports (--ucx-transports) '{}': {}", transports,
                            ucp_->text_of(status)));
  }
  return config;
}

void UcpEngine::open_worker() {
  ucp_ = &UcpLibrary::get_loaded();
  const std::unique_ptr<ucp_config_t, decltype(ucp_->config_release)> config(read_config(),
                                                                             ucp_->config_release);
  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_NAME;
  params.features = UCP_FEATURE_RMA | UCP_FEATURE_WAKEUP;
  params.name = "kvferry";
  const auto status =
      ucp_->init_version(UCP_API_MAJOR, UCP_API_MINOR, &params, config.get(), &context_);
  if (status != UCS_OK)
    throw Error(ErrorCode::refused,
                fmt::format("UCX {} has none of the transports {} here: {}; `ucx_info -d` lists "
                            "those that it has",
                            ucp_->version(), takes_software() ? transports_ : kRdmaTransports,
                            ucp_->text_of(status)));
  ucp_context_attr_t attributes{};
  attributes.field_mask = UCP_ATTR_FIELD_MEMORY_TYPES;
  if (ucp_->context_query(context_, &attributes) == UCS_OK) memory_types_ = attributes.memory_types;
  ucp_worker_params_t worker_params{};
  worker_params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  worker_params.thread_mode = UCS_THREAD_MODE_SINGLE;
  int fd = -1;
  auto made = ucp_->worker_create(context_, &worker_params, &worker_);
  if (made == UCS_OK) made = ucp_->worker_get_efd(worker_, &fd);
  if (made != UCS_OK)
    throw Error(ErrorCode::resource,
                fmt::format("UCX cannot make a worker: {}; check ulimit -l and "
                            "ulimit -n",
                            ucp_->text_of(made)));
  watch(fd);
}

}  // namespace kvferry::path::ucx
