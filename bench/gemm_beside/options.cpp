#include "gemm_beside/options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "kvferry/error.hpp"
#include "option_checks.hpp"

namespace gemm_beside {
namespace {

using namespace kvferry;

constexpr int kMistake = static_cast<int>(ErrorCode::invalid_argument);

std::string sms_error(const std::string& text) {
  return text == "all" ? std::string() : cli::whole_number_error(text, {1, 1024});
}

void add_work_options(CLI::App& app, Options& o) {
  app.option_defaults()->group("What is measured");
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
  app.option_defaults()->group("Pace and judgement");
  cli::number(app, "--rounds", o.pace.rounds, {1, 10000}, "At most so many rounds")
      ->capture_default_str();
  cli::number(app, "--seconds", o.pace.seconds, {1, 3600}, "No round is begun that would end later")
      ->capture_default_str();
  cli::number(app, "--window-ms", o.pace.window_ms, {1, 10000}, "Time of the GEMMs of one phase")
      ->capture_default_str();
  cli::number(app, "--seed", o.pace.seed, {0, UINT32_MAX}, "Of the order, block ids and matrices")
      ->capture_default_str();
  cli::number(app, "--at-least", o.at_least, {0, 100000},
              "GB/s beside the GEMM that a setting must reach for the best trade")
      ->capture_default_str();
}

void add_other_options(CLI::App& app, Options& o) {
  app.option_defaults()->group("Files");
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

}  // namespace

std::optional<int> parse(int argc, char** argv, Options& o) {
  CLI::App app("What pulls cost a GEMM on the pulling GPU, and what the GEMM costs them.",
               "bench_gemm_beside");
  add_work_options(app, o);
  add_pace_options(app, o);
  add_other_options(app, o);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kMistake;
  }
  if (o.size % 8 != 0) {
    fmt::print(stderr, "--size: {} is not a multiple of 8\n", o.size);
    return kMistake;
  }
  if (o.same_gpu) o.owner_device = o.device;
  return std::nullopt;
}

}  // namespace gemm_beside
