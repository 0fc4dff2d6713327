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

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <numeric>
#include <optional>
#include <random>

#include "bench/command_line.hpp"
#include "gemm_beside/owner.hpp"
#include "gemm_beside/rounds.hpp"
#include "json_target.hpp"
#include "kvferry/kvferry.hpp"
#include "memory/cuda_device.hpp"
#include "option_checks.hpp"

namespace {

using namespace kvferry;
using namespace gemm_beside;
using Json = nlohmann::ordered_json;

constexpr int kSkipped = 77;  // as the tests: nothing was measured, for the reason printed
// As bench_cuda_copy: so many that neither cache holds what the next pull reads.
constexpr std::uint64_t kPoolBytes = 4ull << 30;

struct Options {
  int device = 0, owner_device = 1, size = 8192;
  bool same_gpu = false;
  std::vector<std::string> sms{"1",  "2",  "4",  "8",  "10", "12", "14",
                               "16", "20", "24", "32", "64", "all"};
  bool no_engine = false, no_automatic = false;
  std::uint32_t blocks = 64, at_once = 1;
  double at_least = 240;
  Pace pace;
  std::string cublas, python_packages, json;
  // The owner's process.
  std::string owner_socket;
  std::uint32_t owner_blocks = 0;
};

std::string sms_error(const std::string& text) {
  return text == "all" ? std::string() : cli::whole_number_error(text, {1, 1024});
}

void add_work_options(CLI::App& app, Options& o) {
  cli::number(app, "--device", o.device, {0, 63}, "The GPU that pulls and multiplies")
      ->capture_default_str();
  cli::number(app, "--owner-device", o.owner_device, {0, 63}, "The GPU whose blocks are pulled")
      ->capture_default_str();
  app.add_flag("--same-gpu", o.same_gpu, "The owner's pool lies on --device too");
  cli::number(app, "--size", o.size, {256, 32768}, "The GEMM: N x N x N, bf16; a multiple of 8")
      ->capture_default_str();
  app.add_option("--sms", o.sms, "SM budgets of the copy kernel; all: as many as help")
      ->delimiter(',')
      ->type_name("N,N,...")
      ->check(CLI::Validator(sms_error, ""))
      ->capture_default_str();
  app.add_flag("--no-engine", o.no_engine, "Not the copy engine");
  app.add_flag("--no-automatic", o.no_automatic, "Not what a transfer chooses by itself");
  cli::number(app, "--blocks", o.blocks, {1, 512},
              "Blocks of a pull: scattered, 64 KiB x 40 layers")
      ->capture_default_str();
  cli::number(app, "--at-once", o.at_once, {1, 8},
              "Pulls running at once; the SM budget is each one's")
      ->capture_default_str();
}

void add_pace_options(CLI::App& app, Options& o) {
  cli::number(app, "--rounds", o.pace.rounds, {1, 10000}, "At most so many rounds")
      ->capture_default_str();
  app.add_option("--seconds", o.pace.seconds, "No round is begun that would end later")
      ->type_name("S")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  app.add_option("--window-ms", o.pace.window_ms, "Time of the GEMMs of one phase")
      ->type_name("MS")
      ->check(CLI::Range(1.0, 10000.0))
      ->capture_default_str();
  cli::number(app, "--seed", o.pace.seed, {0, UINT32_MAX}, "Of the order, block ids and matrices")
      ->capture_default_str();
  app.add_option("--at-least", o.at_least,
                 "GB/s that a pull must reach beside the GEMM to count "
                 "for the best trade")
      ->type_name("GB/S")
      ->check(CLI::Range(0.0, 100000.0))
      ->capture_default_str();
}

void add_other_options(CLI::App& app, Options& o) {
  app.add_option("--cublas", o.cublas, "libcublas.so.13 or .12, where it is not found by itself")
      ->type_name("FILE");
  app.add_option("--python-packages", o.python_packages,
                 "A folder of Python packages with NVIDIA's wheels, looked into first")
      ->type_name("DIR");
  app.add_option("--json", o.json, "Write figures and samples as JSON; -: to standard output")
      ->type_name("FILE");
  // Of the owner's process, which is this program again: no group, not in the help.
  app.add_option("--owner-socket", o.owner_socket)->group("");
  app.add_option("--owner-blocks", o.owner_blocks)->group("");
  app.footer(
      "Slowdown: how much longer all GEMMs of a window take beside pulls than alone, the median "
      "of\n"
      "the rounds' ratios with its 95 % interval; \"median GEMM\" is the same of a window's "
      "median\n"
      "GEMM. The pull's rate counts whole pulls that ran while GEMMs ran without a pause.\n\n"
      "Exit status: 0 measured; 1 wrong bytes; 2 mistake in the command line; 6 something is\n"
      "missing (cuBLAS, memory); 77 no such GPUs: nothing was measured.\n\n"
      "  bench_gemm_beside                        cuda:1 -> cuda:0, every setting\n"
      "  bench_gemm_beside --same-gpu --json s.json\n"
      "  bench_gemm_beside --sms 16 --seconds 10  16 SMs, the engine and automatic");
}

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
  CLI::App app("What pulls cost a GEMM on the pulling GPU, and what the GEMM costs them.",
               "bench_gemm_beside");
  add_work_options(app, o);
  add_pace_options(app, o);
  add_other_options(app, o);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : static_cast<int>(ErrorCode::invalid_argument);
  }
  if (!o.owner_socket.empty()) return serve_pool(o.owner_socket, o.owner_device, o.owner_blocks);
  if (o.size % 8 != 0)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--size {} is not a multiple of 8", o.size));
  if (o.same_gpu) o.owner_device = o.device;
  const bool any = !o.sms.empty() || !o.no_engine || !o.no_automatic;
  if (!any) throw Error(ErrorCode::invalid_argument, "no setting is left to measure");
  return measure(o);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const Error& e) {
    fmt::print(stderr, "bench_gemm_beside: {}\n", e.what());
    return static_cast<int>(e.code());
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench_gemm_beside: {}\n", e.what());
    return static_cast<int>(ErrorCode::failed);
  }
}
