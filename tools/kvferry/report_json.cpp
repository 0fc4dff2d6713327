#include <nlohmann/json.hpp>

#include "kvferry/version.hpp"
#include "report.hpp"
#include "units.hpp"

namespace kvferry::cli {
namespace {

using Json = nlohmann::ordered_json;

Json geometry_json(const Geometry& g) {
  return {{"layers", g.shape.layers},
          {"kv", g.shape.kv},
          {"heads", g.shape.kv_heads},
          {"dims", g.shape.head_dim},
          {"block_size", g.shape.block_tokens},
          {"dtype", to_string(g.shape.dtype)},
          {"dtype_from", g.dtype_from},
          {"block_bytes", g.shape.block_bytes()},
          {"blocks", g.blocks},
          {"pool_bytes", g.pool_bytes()}};
}

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json options_json(const RunReport& report) {
  const PoolCommandOptions& o = *report.options;
  Json json{{"ip", o.endpoint.ip},
            {"port", o.endpoint.port},
            {"socket", text_or_null(o.endpoint.socket)},
            {"model", text_or_null(o.geometry.model)},
            {"available_memory", o.geometry.available_memory},
            {"device", o.device}};
  if (report.move == nullptr) return json;
  const MoveOptions& m = *report.move;
  json["input_tokens"] = m.input_tokens.value_or(kDefaultInputTokens);
  json["count"] = m.count;
  json["blocks"] = m.blocks;
  json["into"] = m.into;
  json["layer_range"] = text_or_null(m.layer_range);
  json["path"] = m.path;
  json["allow_slow"] = m.allow_slow;
  json["copy"] = m.copy;
  json["sms"] = m.sms;
  json["streams"] = m.network.streams;
  json["congestion"] = text_or_null(m.network.congestion);
  json["checksum"] = m.network.checksum;
  json["rate"] = text_or_null(m.network.rate);
  json["deadline"] = text_or_null(m.deadline);
  json["verify"] = !m.no_verify;
  return json;
}

Json pairs_json(const std::vector<PairExplanation>& pairs) {
  Json json = Json::array();
  for (const PairExplanation& pair : pairs) {
    Json verdicts = Json::array();
    for (const PathVerdict& v : pair.verdicts) {
      verdicts.push_back(
          {{"path", v.path}, {"usable", v.usable}, {"slow", v.slow}, {"reason", v.reason}});
    }
    json.push_back({{"local_pool", pair.local_pool},
                    {"remote_pool", pair.remote_pool},
                    {"chosen", text_or_null(pair.chosen)},
                    {"verdicts", std::move(verdicts)}});
  }
  return json;
}

Json transfers_json(const std::vector<TransferReport>& transfers) {
  Json json = Json::array();
  for (const TransferReport& t : transfers) {
    json.push_back({{"bytes", t.bytes},
                    {"seconds", t.total_s},
                    {"gb_per_s", gb_per_s(t.bytes, t.total_s)},
                    {"path", t.path},
                    {"method", t.method},
                    {"blocks", t.blocks},
                    {"layers", t.layers},
                    {"pieces", t.pieces},
                    {"post_s", t.post_s},
                    {"move_s", t.move_s},
                    {"sync_s", t.sync_s}});
  }
  return json;
}

Json verification_json(const Verification& v) {
  Json first = nullptr;
  if (v.first) {
    first = {{"where", v.first->where},
             {"layer", v.first->layer},
             {"block", v.first->block},
             {"offset", v.first->offset}};
  }
  return {{"checked", v.wanted && v.transfers > 0},
          {"transfers", v.transfers},
          {"blocks", v.blocks},
          {"layers", v.layers},
          {"bytes", v.bytes},
          {"mismatched_bytes", v.wrong_bytes},
          {"other_blocks", v.other_blocks},
          {"other_bytes", v.other_bytes},
          {"other_mismatched_bytes", v.other_wrong_bytes},
          {"other_note", text_or_null(v.other_note)},
          {"first_mismatch", std::move(first)}};
}

Json remote_json(const RemoteReport& remote) {
  return {{"peer", remote.peer},          {"address", remote.address},
          {"pool", remote.pool.name},     {"tag", remote.pool.tag},
          {"blocks", remote.pool.blocks}, {"writable", remote.pool.writable},
          {"device", remote.pool.device}};
}

void add_moves(Json& json, const RunReport& report) {
  const auto& transfers = report.transfers;
  if (transfers.empty()) {
    json["path"] = nullptr;
    json["method"] = nullptr;
  } else {
    json["path"] = transfers.back().path;
    json["method"] = transfers.back().method;
  }
  json["prepare_s"] = report.prepare_s ? Json(*report.prepare_s) : Json(nullptr);
  json["transfers"] = transfers_json(transfers);
  Json rates = nullptr;
  const auto good = report.good_transfers();
  if (!good.empty()) {
    const Rates r = rates_of(good);
    rates = {{"min", r.min}, {"median", r.median}, {"max", r.max}};
  }
  json["summary"] = {{"transfers", good.size()}, {"gb_per_s", std::move(rates)}};
  json["verification"] = verification_json(report.verification);
}

}  // namespace

std::string to_json(const RunReport& report) {
  Json json{{"schema", 1},
            {"command", report.command},
            {"version", version()},
            {"build", build_description()}};
  if (report.options != nullptr) json["options"] = options_json(report);
  json["geometry"] = report.geometry ? geometry_json(*report.geometry) : Json(nullptr);
  json["device"] = nullptr;
  if (report.device) {
    json["device"] = {{"local", report.device->device.to_string()},
                      {"why", text_or_null(report.device->why)},
                      {"remote", report.remote ? Json(report.remote->pool.device) : Json(nullptr)}};
  }
  json["remote"] = report.remote ? remote_json(*report.remote) : Json(nullptr);
  json["explain"] = pairs_json(report.pairs);
  if (report.move != nullptr) add_moves(json, report);
  json["exit_code"] = report.failure ? report.failure->exit_code : 0;
  json["error"] = nullptr;
  if (report.failure) {
    json["error"] = {{"code", report.failure->code}, {"message", report.failure->message}};
  }
  // A peer's or a user's text may be no UTF-8; that must not cost the whole report.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace kvferry::cli
