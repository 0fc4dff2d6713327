// What pulls cost a GEMM that runs on the pulling GPU, and what the GEMM costs them: for each SM
// budget of the copy kernel, for the copy engine, and for what a transfer chooses by itself. The
// pulls go through the public API, from a pool that another process owns.
//
//   bench_gemm_beside [--help]
//
// cuBLAS is looked for when it runs. Interleaved rounds in random order; see
// gemm_beside/rounds.hpp.

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <numeric>
#include <optional>
#include <random>

#include "bench/command_line.hpp"
#include "gemm_beside/options.hpp"
#include "gemm_beside/owner.hpp"
#include "gemm_beside/rounds.hpp"
#include "json_target.hpp"
#include "kvferry/kvferry.hpp"
#include "memory/cuda_device.hpp"

namespace {

using namespace kvferry;
using namespace gemm_beside;
using Json = nlohmann::ordered_json;

constexpr int kSkipped = 77;  // as the tests: nothing was measured, for the reason printed
// As bench_cuda_copy: so many that neither cache holds what the next pull reads.
constexpr std::uint64_t kPoolBytes = 4ull << 30;

std::vector<Setting> settings_of(const Options& o) {
  std::vector<Setting> settings;
  for (const std::string& text : o.sms) {
    Setting s{text == "all" ? "all SMs that help" : text + (text == "1" ? " SM" : " SMs"), {}};
    s.options.copy = CopyMethod::kernel;
    if (text != "all") std::from_chars(text.data(), text.data() + text.size(), s.options.max_sms);
    settings.push_back(std::move(s));
  }
  if (!o.no_engine) settings.push_back({"engine", {.copy = CopyMethod::engine}});
  if (!o.no_automatic) settings.push_back({"automatic", {}});
  return settings;
}

std::vector<BlockIds> make_ids(const Options& o, std::uint32_t pool_blocks) {
  std::mt19937_64 random(o.pace.seed);
  std::vector<std::uint32_t> remote(pool_blocks), local(pool_blocks);
  std::iota(remote.begin(), remote.end(), 0u);
  std::iota(local.begin(), local.end(), 0u);
  std::ranges::shuffle(remote, random);
  std::ranges::shuffle(local, random);
  std::vector<BlockIds> ids;
  for (std::uint32_t i = 0; i < o.at_once; ++i) {
    const auto from = static_cast<std::ptrdiff_t>(i * o.blocks);
    const auto to = from + static_cast<std::ptrdiff_t>(o.blocks);
    ids.push_back(
        {{remote.begin() + from, remote.begin() + to}, {local.begin() + from, local.begin() + to}});
  }
  return ids;
}

// Why this machine cannot run it; empty: it can.
std::string missing(const Options& o) {
  std::string why;
  const int devices = cuda_device_count(&why);
  if (devices == 0) return "no usable GPU: " + why;
  if (o.device >= devices || o.owner_device >= devices) {
    return fmt::format("cuda:{} is needed and there {}; --same-gpu measures on one",
                       std::max(o.device, o.owner_device),
                       devices == 1 ? "is one GPU" : fmt::format("are {} GPUs", devices));
  }
  if (!cuda::can_reach(o.device, o.owner_device))
    return fmt::format("cuda:{} cannot reach the memory of cuda:{}", o.device, o.owner_device);
  return {};
}

std::string gpu_name(int device) {
  cudaDeviceProp properties{};
  cuda::check(cudaGetDeviceProperties(&properties, device), "cannot ask a GPU for its name");
  return properties.name;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

// What the figures are figures of.
Json describe(const Options& o, const Cublas& cublas, const GemmLoad& gemm, const Rounds& rounds) {
  int driver = 0;
  cuda::check(cudaDriverGetVersion(&driver), "cannot ask for the driver's version");
  return {
      {"schema", 1},
      {"program", "bench_gemm_beside"},
      {"command", cli::bench::own_command_line()},
      {"build", std::string(build_description())},
      {"commit", cli::bench::commit()},
      {"date", utc_now()},
      {"gpu", gpu_name(o.device)},
      {"driver_cuda", fmt::format("{}.{}", driver / 1000, driver % 1000 / 10)},
      {"cublas", {{"version", gemm.cublas_version()}, {"file", cublas.file()}}},
      {"device", o.device},
      {"owner_device", o.owner_device},
      {"gemm_size", o.size},
      {"gemms_in_window", rounds.gemms()},
      {"pulls_at_once", o.at_once},
      {"pull_bytes", std::uint64_t{o.blocks} * CacheShape{}.layers * CacheShape{}.block_bytes()},
      {"seed", o.pace.seed},
      {"seconds", rounds.seconds()}};
}

std::string heading(const Json& j, const std::vector<Measured>& measured, double flops) {
  std::vector<double> alone;
  for (const Measured& m : measured)
    for (const Sample& s : m.samples) alone.push_back(s.gemm_alone_ms);
  const auto gemm = stats::summarize(alone);
  return fmt::format(
      "{}, cuBLAS {} ({})\n"
      "GEMM {}^3 bf16 on cuda:{}, alone {:.3f} ms, {:.0f} TFLOP/s ({:.3f} to {:.3f} ms over the "
      "run), {} in a window\n"
      "pulls of {:.1f} MiB scattered, cuda:{} -> cuda:{}, {} at once; {} rounds in {:.1f} s\n\n",
      j["gpu"].get<std::string>(), j["cublas"]["version"].get<std::string>(),
      j["cublas"]["file"].get<std::string>(), j["gemm_size"].get<int>(), j["device"].get<int>(),
      gemm.median, flops / gemm.median / 1e9, gemm.min, gemm.max,
      j["gemms_in_window"].get<unsigned>(),
      static_cast<double>(j["pull_bytes"].get<std::uint64_t>()) / 1048576,
      j["owner_device"].get<int>(), j["device"].get<int>(), j["pulls_at_once"].get<unsigned>(),
      measured.front().samples.size(), j["seconds"].get<double>());
}

// A line that the next one replaces; nothing where nobody watches.
void show_progress(const std::string& text) {
  if (::isatty(STDERR_FILENO) == 0) return;
  fmt::print(stderr, "\r\033[K{}", text);
  std::fflush(stderr);
}

int measure(const Options& o) {
  if (const std::string why = missing(o); !why.empty()) {
    fmt::print(stderr, "bench_gemm_beside: nothing measured: {}\n", why);
    return kSkipped;
  }
  std::optional<cli::JsonTarget> json;
  if (!o.json.empty()) json.emplace(o.json);
  const cuda::DeviceGuard guard(o.device);
  const Cublas cublas = Cublas::load(o.cublas, o.python_packages);
  show_progress("starting the owner of the blocks");
  const CacheShape shape;
  const auto pool_blocks = static_cast<std::uint32_t>(
      std::max<std::uint64_t>(shape.blocks_for(kPoolBytes), std::uint64_t{o.blocks} * o.at_once));
  OwnerProcess owner(o.owner_device, pool_blocks);
  const Pool pool = Pool::allocate(Device::cuda(o.device), shape, pool_blocks);
  Node node({.name = "puller"});
  node.add(pool);
  const Peer peer = node.connect(owner.address());
  owner.remove_socket();
  peer.prepare(pool);
  show_progress("making the matrices");
  GemmLoad gemm(cublas, o.size, o.pace.seed);
  Puller puller(peer, pool, make_ids(o, pool_blocks));
  Rounds rounds(gemm, puller, pool, o.pace, show_progress);
  const auto measured = rounds.measure(settings_of(o));
  show_progress("");

  const auto rows = make_rows(measured);
  Json document = describe(o, cublas, gemm, rounds);
  const std::string text = heading(document, measured, gemm.flops()) + to_text(rows, o.at_least);
  fmt::print(o.json == "-" ? stderr : stdout, "{}", text);
  document.update(to_json(rows, measured, o.at_least));
  if (json) json->write(document.dump(2) + "\n");
  return std::ranges::any_of(rows, [](const Row& row) { return row.wrong_bytes > 0; }) ? 1 : 0;
}

int run(int argc, char** argv) {
  Options o;
  if (const auto exit_code = parse(argc, argv, o)) return *exit_code;
  if (!o.owner_socket.empty()) return serve_pool(o.owner_socket, o.owner_device, o.owner_blocks);
  return measure(o);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const Error& e) {
    show_progress("");
    fmt::print(stderr, "bench_gemm_beside: {}\n", e.what());
    return static_cast<int>(e.code());
  } catch (const std::exception& e) {
    show_progress("");
    fmt::print(stderr, "bench_gemm_beside: {}\n", e.what());
    return static_cast<int>(ErrorCode::failed);
  }
}
