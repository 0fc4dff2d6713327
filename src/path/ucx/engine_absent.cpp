// A build without UCX.
#include "path/ucx/engine.hpp"

namespace kvferry::path::ucx {
namespace {

constexpr const char* kWhy =
    "this kvferry was built without UCX; install its headers (Debian: libucx-dev) and build again";

class NoEngine final : public Engine {
 public:
  std::string why_not() const override { return kWhy; }
  bool takes_software() const noexcept override { return false; }
  std::string describe() override { refuse(); }
  bool post(std::function<void()>) override { return false; }
  std::vector<std::byte> address() override { refuse(); }
  std::shared_ptr<Registration> enrol(const std::shared_ptr<detail::PoolImpl>&) override {
    refuse();
  }
  std::string why_not(Device) override { return kWhy; }
  std::shared_ptr<Connection> connect(std::vector<std::byte>) override { refuse(); }
  std::unique_ptr<Route> open(const std::shared_ptr<detail::PoolImpl>&, RemoteEnd) override {
    refuse();
  }
  void forget(const detail::PoolImpl*) noexcept override {}
  void stop() noexcept override {}

 private:
  [[noreturn]] static void refuse() { throw Error(ErrorCode::refused, kWhy); }
};

}  // namespace

std::shared_ptr<Engine> make_engine(const UcxOptions&) { return std::make_shared<NoEngine>(); }

}  // namespace kvferry::path::ucx
