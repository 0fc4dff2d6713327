#include "bench/result_json.hpp"

#include <nlohmann/json.hpp>

namespace kvferry::cli::bench {
namespace {

using Json = nlohmann::ordered_json;

Json interval_json(const stats::Interval& interval) {
  return Json::array({interval.low, interval.high});
}

Json summary_json(const stats::Summary& summary) {
  return {{"count", summary.count},
          {"median", summary.median},
          {"median_ci", interval_json(summary.median_ci)},
          {"min", summary.min},
          {"max", summary.max},
          {"p99", summary.p99},
          {"p999", summary.p999}};
}

Json work_json(const Work& work) {
  return {{"group", to_string(work.group)},
          {"path", work.path},
          {"link", work.link},
          {"from", work.from},
          {"to", work.to},
          {"direction", work.direction},
          {"order", work.order},
          {"copy", work.copy},
          {"layout", work.layout},
          {"block_bytes", work.block_bytes},
          {"blocks", work.blocks},
          {"layers", work.layers},
          {"bytes", work.bytes()},
          {"max_sms", work.max_sms},
          {"clients", work.clients},
          {"servers", work.servers},
          {"processes", work.processes},
          {"streams", work.streams},
          {"wire", work.wire}};
}

Json figure_json(const Figure& figure) {
  Json json{{"key", figure.work.key()}};
  json.update(work_json(figure.work));
  json["method"] = figure.method;
  json["seconds"] = summary_json(figure.ours);
  json["gb_per_s"] = figure.gb_per_s;
  json["reference"] = nullptr;
  if (figure.reference) {
    json["reference"] = {{"name", figure.reference_name},
                         {"seconds", summary_json(*figure.reference)}};
  } else if (!figure.reference_name.empty()) {
    json["reference"] = {{"name", figure.reference_name}, {"seconds", nullptr}};
  }
  json["of_reference"] = nullptr;
  if (figure.of_reference) {
    json["of_reference"] = {{"median", figure.of_reference->median},
                            {"ci", interval_json(figure.of_reference->ci)}};
  }
  json["verified"] = figure.verified;
  json["cdf"] = Json::array();
  for (const auto& [q, seconds] : figure.cdf) json["cdf"].push_back(Json::array({q, seconds}));
  json["note"] = figure.note;
  return json;
}

Json machine_json(const Machine& machine) {
  Json gpus = Json::array();
  for (const Machine::Gpu& gpu : machine.gpus) {
    gpus.push_back({{"device", gpu.device},
                    {"name", gpu.name},
                    {"uuid", gpu.uuid},
                    {"pci", gpu.pci},
                    {"sms", gpu.sms},
                    {"memory_bytes", gpu.memory_bytes},
                    {"mps", gpu.mps}});
  }
  return {{"host", machine.host},
          {"cpu", machine.cpu},
          {"cores", machine.cores},
          {"memory_bytes", machine.memory_bytes},
          {"kernel", machine.kernel},
          {"driver", machine.driver},
          {"cuda_runtime", machine.cuda_runtime},
          {"gpus", std::move(gpus)}};
}

}  // namespace

std::string to_json(const Result& result) {
  Json json{{"schema", kResultSchema},
            {"command", "bench"},
            {"version", result.version},
            {"build", result.build},
            {"commit", result.commit},
            {"command_line", result.command},
            {"date", result.date},
            {"quick", result.quick},
            {"interrupted", result.interrupted},
            {"seconds", result.seconds},
            {"machine", machine_json(result.machine)},
            {"figures", Json::array()},
            {"skipped", Json::array()}};
  for (const Figure& figure : result.figures) json["figures"].push_back(figure_json(figure));
  for (const Skipped& skipped : result.skipped) {
    json["skipped"].push_back({{"what", skipped.what}, {"why", skipped.why}});
  }
  // A device's or a host's name may be no UTF-8; that must not cost the whole result.
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace kvferry::cli::bench
