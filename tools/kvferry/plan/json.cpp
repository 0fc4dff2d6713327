#include <nlohmann/json.hpp>

#include "kvferry/version.hpp"
#include "plan/plan_report.hpp"

namespace kvferry::cli::planning {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kUsPerSecond = 1e6;

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json options_json(const PlanOptions& o) {
  return {{"model", text_or_null(o.model)},
          {"available_memory", o.available_memory},
          {"tokens", o.tokens},
          {"link", text_or_null(o.links)},
          {"gb_per_s", text_or_null(o.gb_per_s)},
          {"start_us", text_or_null(o.start_us)}};
}

Json geometry_json(const Report& report) {
  const Geometry& g = report.geometry;
  const std::uint64_t token = g.shape.block_bytes() / g.shape.block_tokens;
  return {{"layers", g.shape.layers},
          {"kv", g.shape.kv},
          {"heads", g.shape.kv_heads},
          {"dims", g.shape.head_dim},
          {"block_size", g.shape.block_tokens},
          {"dtype", to_string(g.shape.dtype)},
          {"dtype_from", g.dtype_from},
          {"block_bytes", g.shape.block_bytes()},
          {"blocks", g.blocks},
          {"pool_bytes", g.pool_bytes()},
          {"token_bytes", token * g.shape.layers},
          {"token_layer_bytes", token}};
}

Json link_json(const Link& link) {
  const bool sheet = link.rate_basis == Basis::data_sheet;
  return {{"link", link.name},
          {"what", link.what},
          {"start_s", link.start_us / kUsPerSecond},
          {"start_from", to_string(link.start_basis)},
          {"gb_per_s", link.gb_per_s},
          {"rate_from", to_string(link.rate_basis)},
          {"data_sheet_gb_per_s", sheet ? Json(link.sheet_gb_per_s) : Json(nullptr)},
          {"efficiency", sheet ? Json(link.efficiency) : Json(nullptr)},
          {"post_s", link.post_us > 0 ? Json(link.post_us / kUsPerSecond) : Json(nullptr)},
          {"source", link.source},
          {"post_source", link.post_us > 0 ? Json(kPostSource) : Json(nullptr)}};
}

Json requests_json(const Variant& variant, const std::vector<Link>& links) {
  Json requests = Json::array();
  for (const Request& r : variant.requests) {
    Json transfers = Json::array();
    for (std::size_t l = 0; l < links.size(); ++l) {
      const auto& copies = r.on[l].copies_seconds;
      transfers.push_back({{"link", links[l].name},
                           {"seconds", r.on[l].seconds},
                           {"shared_link_seconds", r.on[l].shared_seconds},
                           {"copy_per_piece_seconds", copies ? Json(*copies) : Json(nullptr)}});
    }
    requests.push_back({{"tokens", r.tokens},
                        {"blocks", r.work.blocks},
                        {"pieces", r.work.pieces},
                        {"bytes", r.work.bytes},
                        {"at_once", r.held},
                        {"transfers", std::move(transfers)}});
  }
  return requests;
}

Json variant_json(const Variant& v, const std::vector<Link>& links) {
  Json json{{"block_size", v.shape.block_tokens},
            {"ranks", v.ranks},
            {"refused", text_or_null(v.refused)}};
  const bool usable = v.refused.empty();
  json["heads"] = usable ? Json(v.shape.kv_heads) : Json(nullptr);
  json["ranks_per_head"] = usable ? Json(v.copies) : Json(nullptr);
  json["block_bytes"] = usable ? Json(v.shape.block_bytes()) : Json(nullptr);
  json["blocks"] = usable ? Json(v.blocks) : Json(nullptr);
  json["requests"] = requests_json(v, links);
  return json;
}

Json variants_json(const std::vector<Variant>& variants, const std::vector<Link>& links) {
  Json json = Json::array();
  for (const Variant& variant : variants) json.push_back(variant_json(variant, links));
  return json;
}

void add_report(Json& json, const Report& report) {
  const auto& links = report.inputs.links;
  json["geometry"] = geometry_json(report);
  json["memory_bytes"] = report.inputs.memory_bytes;
  json["links"] = Json::array();
  for (const Link& link : links) json["links"].push_back(link_json(link));
  json["formula"] = {
      {"seconds", "start_s + bytes / gb_per_s / 1e9"},
      {"copy_per_piece_seconds", "start_s + max(bytes / gb_per_s / 1e9, pieces * post_s)"}};
  json["requests"] = requests_json(report.cache, links);
  json["block_sizes"] = variants_json(report.block_sizes, links);
  json["tensor_parallel"] = variants_json(report.ranks, links);
  json["notes"] = report.notes;
}

}  // namespace

std::string to_json(const PlanOptions& options, const std::optional<Report>& report,
                    const std::optional<Failure>& failure) {
  Json json{{"schema", 1},
            {"command", "plan"},
            {"version", version()},
            {"build", build_description()},
            {"options", options_json(options)},
            {"geometry", nullptr}};
  if (report) add_report(json, *report);
  json["exit_code"] = failure ? failure->exit_code : 0;
  json["error"] = nullptr;
  if (failure) json["error"] = {{"code", failure->code}, {"message", failure->message}};
  // A path may be no UTF-8; that must not cost the whole report.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace kvferry::cli::planning
