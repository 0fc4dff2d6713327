#include "doctor/sharing.hpp"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "doctor/child.hpp"
#include "doctor/facts_json.hpp"
#include "doctor/job.hpp"
#include "doctor/probes.hpp"
#include "kvferry/error.hpp"
#include "units.hpp"

namespace kvferry::cli::doctor {
namespace {

using Clock = Child::Clock;
using Outcome = PairFact::Outcome;
// How long a process may take to put its memory away before it is killed.
constexpr std::chrono::milliseconds kFarewell{3000};

// A directory for sockets that nobody else can enter; gone with this object.
class PrivateDirectory {
 public:
  PrivateDirectory() : path_("/tmp/kvferry-doctor-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) {
      throw Error(ErrorCode::resource,
                  fmt::format("cannot make a directory in /tmp: {}", std::strerror(errno)));
    }
  }
  ~PrivateDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

// What became of a process's next line.
struct Heard {
  std::string line;
  std::string why_not;  // empty: there is a line
  bool late = false;
};

Heard hear(Child& child, std::chrono::milliseconds timeout, const ToolContext& context) {
  Heard heard;
  switch (child.read_line(heard.line, Clock::now() + timeout, context.interrupts.fd())) {
    case Child::Read::line: break;
    case Child::Read::ended: heard.why_not = child.complaint(); break;
    case Child::Read::interrupted: context.interrupts.throw_if_requested(); break;
    case Child::Read::late:
      heard.late = true;
      heard.why_not = fmt::format("no answer within {}",
                                  format_seconds(std::chrono::duration<double>(timeout).count()));
  }
  return heard;
}

struct Owner {
  std::string device, socket;
  std::optional<Child> child;
  std::string failure;  // why there is none
  bool late = false;
};

class Sharing {
 public:
  Sharing(std::vector<std::string> devices, const SharingOptions& options,
          const ToolContext& context)
      : devices_(std::move(devices)), options_(options), context_(context) {}

  std::vector<PairFact> run() {
    start_owners();
    for (const std::string& device : devices_) run_mover_on(device);
    for (Owner& owner : owners_) {
      if (owner.child) owner.child->finish(kFarewell);
    }
    return std::move(pairs_);
  }

 private:
  // All at once: each spends seconds on starting CUDA.
  void start_owners() {
    for (const std::string& device : devices_) {
      Owner owner{device, fmt::format("{}/{}", directory_.path(), owners_.size()), {}, {}, false};
      try {
        Job job;
        job.role = Job::Role::owner;
        job.device = device;
        job.socket = owner.socket;
        owner.child.emplace(start_job(job));
      } catch (const Error& error) {
        owner.failure = error.what();
      }
      owners_.push_back(std::move(owner));
    }
    for (Owner& owner : owners_) await(owner);
  }

  void await(Owner& owner) {
    if (!owner.child) return;
    context_.out.progress().note("starting a process that serves " + owner.device);
    const Heard heard = hear(*owner.child, options_.timeout, context_);
    if (heard.why_not.empty()) return;
    owner.failure = fmt::format("the process that serves {}: {}", owner.device, heard.why_not);
    owner.late = heard.late;
    owner.child.reset();
  }

  static PairFact fact(const std::string& local, const Job::Target& target, Outcome outcome,
                       std::string reason) {
    PairFact pair;
    pair.local = local;
    pair.remote = target.device;
    pair.private_memory = target.private_memory;
    pair.outcome = outcome;
    pair.reason = std::move(reason);
    return pair;
  }

  // The owners a process on `device` is to reach. What cannot be tried is written down.
  std::vector<Job::Target> targets_for(const std::string& device) {
    std::vector<Job::Target> targets;
    for (const Owner& owner : owners_) {
      const bool both_host = device == "host" && owner.device == "host";
      for (const bool private_memory : {false, true}) {
        if (private_memory && !both_host) continue;
        Job::Target target{owner.device, owner.socket, private_memory};
        if (owner.child) {
          targets.push_back(std::move(target));
        } else {
          pairs_.push_back(
              fact(device, target, owner.late ? Outcome::late : Outcome::failed, owner.failure));
        }
      }
    }
    return targets;
  }

  void run_mover_on(const std::string& device) {
    Job job;
    job.role = Job::Role::mover;
    job.device = device;
    job.targets = targets_for(device);
    job.timeout = options_.timeout;
    if (job.targets.empty()) return;
    context_.out.progress().note(fmt::format("moving blocks between {} and the others", device));
    try {
      Child child = start_job(job);
      const Heard ready = hear(child, options_.timeout, context_);
      if (ready.why_not.empty()) return hear_pairs(child, job);
      give_up(job, 0, ready, fmt::format("the process that moves to and from {}", device));
    } catch (const Error& error) {
      if (error.code() == ErrorCode::cancelled) throw;
      give_up(job, 0, {{}, error.what(), false}, "starting a process");
    }
  }

  void hear_pairs(Child& child, const Job& job) {
    // A pair's transfers have the time by themselves, and their own, clearer word when it is over.
    const auto patience = options_.timeout + std::chrono::seconds(2);
    for (std::size_t i = 0; i < job.targets.size(); ++i) {
      const Heard heard = hear(child, patience, context_);
      if (!heard.why_not.empty()) return give_up(job, i, heard, "the process that moves blocks");
      pairs_.push_back(pair_of(Json::parse(heard.line, nullptr, false)));
    }
    child.finish(kFarewell);
  }

  // The pair at `next` failed so badly that those after it cannot be tried.
  void give_up(const Job& job, std::size_t next, const Heard& heard, const std::string& who) {
    for (std::size_t i = next; i < job.targets.size(); ++i) {
      const bool first = i == next;
      const Outcome outcome = !first       ? Outcome::left_out
                              : heard.late ? Outcome::late
                                           : Outcome::failed;
      pairs_.push_back(fact(job.device, job.targets[i], outcome,
                            first ? fmt::format("{}: {}", who, heard.why_not)
                                  : fmt::format("not tried: the pair with {} did not end",
                                                job.targets[next].device)));
    }
  }

  std::vector<std::string> devices_;
  const SharingOptions& options_;
  const ToolContext& context_;
  PrivateDirectory directory_;  // before the owners, whose sockets are in it
  std::vector<Owner> owners_;
  std::vector<PairFact> pairs_;
};

}  // namespace

GpuFacts ask_for_gpus(const SharingOptions& options, const ToolContext& context) {
  // Nothing to ask, and nothing that could hang.
  if (!built_with_cuda()) return probe_gpus();
  context.out.progress().note("asking the NVIDIA driver");
  GpuFacts facts;
  facts.built = true;
  try {
    Child child = start_job(Job{});
    const Heard heard = hear(child, options.timeout, context);
    if (heard.why_not.empty()) {
      facts = gpu_facts_of(Json::parse(heard.line, nullptr, false));
      child.finish(kFarewell);
    } else {
      (heard.late ? facts.late : facts.why_none) = heard.why_not;
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::cancelled) throw;
    facts.why_none = error.what();
  }
  context.out.progress().clear();
  return facts;
}

SharingFacts test_sharing(const GpuFacts& gpus, const SharingOptions& options,
                          const ToolContext& context) {
  SharingFacts facts;
  std::vector<std::string> devices{"host"};
  const std::size_t most = std::min<std::size_t>(gpus.devices.size(), options.max_gpus);
  for (std::size_t i = 0; i < most; ++i) {
    devices.push_back(fmt::format("cuda:{}", gpus.devices[i].ordinal));
  }
  if (most < gpus.devices.size()) {
    facts.left_out.push_back(fmt::format("{} of {} GPUs: --max-gpus {} takes the first ones only",
                                         gpus.devices.size() - most, gpus.devices.size(),
                                         options.max_gpus));
  }
  if (!gpus.late.empty()) facts.left_out.emplace_back("all GPUs: the driver does not answer");
  try {
    facts.pairs = Sharing(std::move(devices), options, context).run();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::cancelled) throw;
    facts.left_out.push_back(fmt::format("everything: {}", error.what()));
  }
  context.out.progress().clear();
  return facts;
}

}  // namespace kvferry::cli::doctor
