#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "registry/http.hpp"
#include "registry/store.hpp"
#include "registry/url.hpp"

namespace kvferry::registry {

// A store in etcd. The member that answered last is asked first.
class EtcdStore final : public Store {
 public:
  // `timeout`: of one member. Throws: Error{resource} (no libcurl).
  EtcdStore(Url url, TlsFiles tls, std::chrono::milliseconds timeout);

  Lease grant(std::chrono::seconds time_to_live) override;
  bool keep_alive(const Lease& lease) override;
  std::optional<std::chrono::seconds> time_left(std::uint64_t lease) override;
  std::optional<Entry> claim(const Entry& entry) override;
  std::optional<Entry> get(std::string_view name) override;
  std::vector<Entry> list() override;
  void revoke(const Lease& lease, std::chrono::milliseconds timeout) override;
  void interrupt() noexcept override { http_.interrupt(); }
  void resume() noexcept override { http_.resume(); }
  void give_up_at(std::chrono::steady_clock::time_point until) noexcept override { until_ = until; }

 private:
  // The body of a good answer. Throws: Error{failed} for "not found", and as Store says.
  std::string ask(std::string_view call, const std::string& request);
  // nullopt: this member cannot answer now, `why` says why.
  std::optional<std::string> ask_member(std::size_t member, std::string_view call,
                                        const std::string& request, std::string& why);
  void log_in(std::size_t member);
  HttpAnswer post(std::size_t member, std::string_view call, const std::string& request);

  const Url url_;
  const std::chrono::milliseconds timeout_;
  std::chrono::steady_clock::time_point until_;  // no request goes on longer
  HttpClient http_;
  std::size_t good_ = 0;
  std::string token_;
};

}  // namespace kvferry::registry
