#include "path/ucx/ucp_endpoint.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

namespace kvferry::path::ucx {

Endpoint::Endpoint(UcpEngine& engine, const std::vector<std::byte>& address) : engine_(engine) {
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(address.data());
  // Only endpoints that handle failures can be closed by force, and only then is a transfer over
  // when its deadline says so.
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler.cb = on_error;
  params.err_handler.arg = this;
  const auto status = engine_.ucp().ep_create(engine_.worker(), &params, &handle_);
  if (status != UCS_OK)
    throw Error(ErrorCode::unreachable,
                fmt::format("UCX {} finds no transport to the peer that notices when it fails: {}; "
                            "both sides need one in common (ucx_info -d, --ucx-transports)",
                            engine_.ucp().version(), engine_.ucp().text_of(status)));
  lanes_ = read_lanes();
  carriage_ = carriage_of(lanes_).text;
}

std::vector<Lane> Endpoint::read_lanes() const {
  char* text = nullptr;
  std::size_t bytes = 0;
  std::FILE* stream = ::open_memstream(&text, &bytes);
  if (stream == nullptr) return {};
  engine_.ucp().ep_print_info(handle_, stream);
  std::fclose(stream);
  const std::unique_ptr<char, decltype(&std::free)> owner(text, &std::free);
  return parse_lanes({text, bytes});
}

// Called by ucp_worker_progress, where an endpoint must not be closed.
void Endpoint::on_error(void* self, ucp_ep_h, ucs_status_t status) {
  static_cast<Endpoint*>(self)->lost(status);
}

void Endpoint::lost(ucs_status_t status) {
  fail(fmt::format("UCX lost the peer over {}: {}", carriage_, engine_.ucp().text_of(status)));
}

void Endpoint::fail(std::string why) {
  if (why_.empty()) why_ = std::move(why);
}

bool Endpoint::tend() noexcept {
  if (state_ != State::open || why_.empty()) return state_ == State::closing;
  state_ = State::closing;
  ucp_request_param_t params{};
  params.op_attr_mask =
      UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  params.flags = UCP_EP_CLOSE_FLAG_FORCE;
  params.user_data = this;  // the engine keeps us until we are closed
  params.cb.send = [](void* request, ucs_status_t, void* self) {
    auto& endpoint = *static_cast<Endpoint*>(self);
    endpoint.state_ = State::closed;
    endpoint.engine_.ucp().request_free(request);
  };
  const ucs_status_ptr_t request = engine_.ucp().ep_close(handle_, &params);
  if (request == nullptr || UCS_PTR_IS_ERR(request)) state_ = State::closed;
  return state_ == State::closing;
}

}  // namespace kvferry::path::ucx
