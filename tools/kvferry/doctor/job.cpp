#include "doctor/job.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "doctor/facts_json.hpp"
#include "doctor/probes.hpp"
#include "doctor/test_pool.hpp"
#include "geometry.hpp"
#include "kvferry/error.hpp"
#include "pattern_work.hpp"

namespace kvferry::cli::doctor {
namespace {

constexpr const char* kVariable = "KVFERRY_DOCTOR_JOB";

Json json_of(const Job& job) {
  Json targets = Json::array();
  for (const Job::Target& target : job.targets) {
    targets.push_back({{"device", target.device},
                       {"socket", target.socket},
                       {"private_memory", target.private_memory}});
  }
  return {{"role", static_cast<int>(job.role)},
          {"device", job.device},
          {"socket", job.socket},
          {"targets", std::move(targets)},
          {"timeout_ms", job.timeout.count()}};
}

Job job_of(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    Job job;
    job.role = static_cast<Job::Role>(json.at("role").get<int>());
    job.device = json.at("device");
    job.socket = json.at("socket");
    job.timeout = std::chrono::milliseconds(json.at("timeout_ms").get<std::int64_t>());
    for (const Json& target : json.at("targets")) {
      job.targets.push_back(
          {target.at("device"), target.at("socket"), target.at("private_memory")});
    }
    return job;
  } catch (const Json::exception& error) {
    throw Error(ErrorCode::resource, fmt::format("{} is for doctor's own processes: unset it ({})",
                                                 kVariable, error.what()));
  }
}

void wait_for_the_end(const Interrupts& interrupts) {
  // Readable once our parent has closed its end, or is gone.
  std::array<pollfd, 2> fds{{{STDIN_FILENO, POLLIN, 0}, {interrupts.fd(), POLLIN, 0}}};
  while (::poll(fds.data(), fds.size(), -1) < 0 && errno == EINTR) {
  }
}

void run_owner(const Job& job, const ToolContext& context) {
  const Device device = device_named(job.device);
  const Pool pool = make_test_pool(device);
  NodeOptions options;
  options.name = "doctor";
  options.log = context.log;
  Node node(options);
  node.add(pool);
  if (!device.is_cuda()) node.add(make_private_pool());
  ListenOptions listen;
  listen.tcp = false;
  listen.socket_path = job.socket;
  node.listen(listen);
  context.out.line("{}", kReady);
  wait_for_the_end(context.interrupts);
}

}  // namespace

Device device_named(const std::string& name) { return choose_device(name).device; }

Pool make_test_pool(const Device& device) {
  PoolOptions options;
  options.name = kPool;
  options.writable = true;
  Pool pool = Pool::allocate(device, test_shape(), kBlocks, options);
  pattern::fill(pool, whole_pool(kBlocks, pattern::Fill::indexed, kOwnerSeed), {});
  return pool;
}

Pool make_private_pool() {
  const CacheShape shape = test_shape();
  const std::size_t layer_bytes = shape.block_bytes() * kBlocks;
  const auto memory = std::make_shared<std::vector<std::byte>>(layer_bytes * shape.layers);
  AttachOptions attach;
  attach.shape = shape;
  attach.blocks = kBlocks;
  for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
    attach.bases.push_back(memory->data() + layer * layer_bytes);
  }
  attach.options.name = kPrivatePool;
  attach.options.writable = true;
  attach.keep_alive = memory;
  Pool pool = Pool::attach(attach);
  pattern::fill(pool, whole_pool(kBlocks, pattern::Fill::indexed, kOwnerSeed), {});
  return pool;
}

Child start_job(const Job& job) {
  Child::Command command;
  command.arguments = {"kvferry", "doctor"};
  command.variable = fmt::format("{}={}", kVariable, json_of(job).dump());
  return Child(command);
}

std::optional<Job> job_of_this_process() {
  const char* const text = std::getenv(kVariable);  // NOLINT(concurrency-mt-unsafe)
  if (text == nullptr) return std::nullopt;
  return job_of(text);
}

int run_job(const Job& job, const ToolContext& context) {
  switch (job.role) {
    case Job::Role::gpus: context.out.line("{}", to_json(probe_gpus()).dump()); break;
    case Job::Role::owner: run_owner(job, context); break;
    case Job::Role::mover: run_mover(job, context); break;
  }
  return 0;
}

}  // namespace kvferry::cli::doctor
