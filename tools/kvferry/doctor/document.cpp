#include "doctor/facts_json.hpp"
#include "doctor/render.hpp"
#include "kvferry/version.hpp"

namespace kvferry::cli::doctor {
namespace {

Json checks_json(const std::vector<Check>& checks) {
  Json list = Json::array();
  for (const Check& check : checks) {
    list.push_back({{"area", check.area},
                    {"name", check.name},
                    {"state", to_string(check.state)},
                    {"value", check.value},
                    {"meaning", text_or_null(check.meaning)},
                    {"advice", text_or_null(check.advice)}});
  }
  return list;
}

Json paths_json(const std::vector<PathState>& paths) {
  Json list = Json::array();
  for (const PathState& path : paths) {
    Json needs = Json::array();
    for (const Need& need : path.needs) {
      needs.push_back({{"what", need.what}, {"has", need.has}, {"met", need.met}});
    }
    list.push_back({{"path", path.path},
                    {"between", path.between},
                    {"usable", path.usable},
                    {"reason", path.reason},
                    {"needs", std::move(needs)}});
  }
  return list;
}

template <typename T>
Json list_of(const std::vector<T>& values) {
  Json list = Json::array();
  for (const T& value : values) list.push_back(to_json(value));
  return list;
}

}  // namespace

std::string to_document(const Facts& facts, const Diagnosis& diagnosis, int exit_code,
                        const std::optional<Failure>& failure) {
  Json json{{"schema", 1},
            {"command", "doctor"},
            {"version", version()},
            {"build", build_description()},
            {"healthy", exit_code == 0},
            {"checks", checks_json(diagnosis.checks)},
            {"gpus", list_of(facts.gpu.devices)},
            {"peers", list_of(facts.gpu.peers)},
            {"sharing", list_of(facts.sharing.pairs)},
            {"left_out", facts.sharing.left_out},
            {"paths", paths_json(diagnosis.paths)},
            {"summary",
             {{"ok", diagnosis.count(State::ok)},
              {"notes", diagnosis.count(State::note)},
              {"warnings", diagnosis.count(State::warning)},
              {"problems", diagnosis.count(State::problem)}}},
            {"exit_code", exit_code},
            {"error", nullptr}};
  if (failure) json["error"] = {{"code", failure->code}, {"message", failure->message}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace kvferry::cli::doctor
