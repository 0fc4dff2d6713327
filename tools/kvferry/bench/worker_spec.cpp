#include "bench/worker_spec.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "kvferry/error.hpp"
#include "quote.hpp"

namespace kvferry::cli::bench {
namespace {

using Json = nlohmann::json;

[[noreturn]] void refuse(std::string_view line, const std::string& why) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("a worker of the benchmark was told {}: {}", quote(line), why));
}

Json parse_object(std::string_view line) {
  Json json = Json::parse(line, nullptr, false);
  if (!json.is_object()) refuse(line, "not a JSON object");
  return json;
}

template <typename T>
T field(const Json& json, const char* name, std::string_view line) {
  const auto found = json.find(name);
  if (found == json.end()) refuse(line, fmt::format("{} is missing", name));
  if constexpr (std::is_unsigned_v<T>) {
    if (!found->is_number_unsigned() || found->get<std::uint64_t>() > std::uint64_t{T(-1)}) {
      refuse(line, fmt::format("{} is no number of its range", name));
    }
  }
  try {
    return found->get<T>();
  } catch (const Json::exception&) {
    refuse(line, fmt::format("{} is of the wrong type", name));
  }
}

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace) + '\n';
}

}  // namespace

std::string to_line(const WorkerSpec& spec) {
  const CacheShape& s = spec.shape;
  return line_of({{"device", spec.device},
                  {"addresses", spec.addresses},
                  {"shape", {s.layers, s.kv, s.kv_heads, s.head_dim, s.block_tokens}},
                  {"dtype", to_string(s.dtype)},
                  {"server_blocks", spec.server_blocks},
                  {"pool_blocks", spec.pool_blocks},
                  {"moved", spec.moved},
                  {"first", spec.first},
                  {"clients", spec.clients},
                  {"direction", to_string(spec.direction)},
                  {"begin", spec.begin},
                  {"end", spec.end}});
}

WorkerSpec parse_worker_spec(std::string_view line) {
  const Json json = parse_object(line);
  WorkerSpec spec;
  spec.device = field<std::string>(json, "device", line);
  spec.addresses = field<std::vector<std::string>>(json, "addresses", line);
  const auto shape = field<std::vector<std::uint32_t>>(json, "shape", line);
  if (shape.size() != 5) refuse(line, "shape has not five numbers");
  spec.shape = {shape[0], shape[1], shape[2],
                shape[3], shape[4], parse_dtype(field<std::string>(json, "dtype", line))};
  spec.shape.validate();
  spec.server_blocks = field<std::uint32_t>(json, "server_blocks", line);
  spec.pool_blocks = field<std::uint32_t>(json, "pool_blocks", line);
  spec.moved = field<std::uint32_t>(json, "moved", line);
  spec.first = field<std::uint32_t>(json, "first", line);
  spec.clients = field<std::uint32_t>(json, "clients", line);
  spec.direction = field<std::string>(json, "direction", line) == to_string(Direction::push)
                       ? Direction::push
                       : Direction::pull;
  spec.begin = field<std::uint32_t>(json, "begin", line);
  spec.end = field<std::uint32_t>(json, "end", line);
  if (spec.addresses.empty()) refuse(line, "addresses is empty");
  if (spec.end > spec.server_blocks || spec.begin > spec.end ||
      spec.moved > spec.end - spec.begin || spec.moved > spec.pool_blocks ||
      spec.moved < spec.addresses.size()) {
    refuse(line, "moved, begin and end do not fit the pools");
  }
  return spec;
}

std::string to_line(const Round& round) {
  return line_of({{"active", round.active},
                  {"servers", round.servers},
                  {"start_ns", round.start_ns},
                  {"seconds", round.seconds}});
}

Round parse_round(std::string_view line) {
  const Json json = parse_object(line);
  Round round;
  round.active = field<std::uint32_t>(json, "active", line);
  round.servers = field<std::uint32_t>(json, "servers", line);
  round.start_ns = field<std::int64_t>(json, "start_ns", line);
  round.seconds = field<double>(json, "seconds", line);
  if (round.servers == 0 || !(round.seconds > 0)) refuse(line, "servers or seconds is zero");
  return round;
}

std::string to_line(const WorkerAnswer& answer) {
  return line_of({{"error", answer.error},
                  {"code", answer.code},
                  {"method", answer.method},
                  {"bytes", answer.bytes},
                  {"end_ns", answer.end_ns}});
}

WorkerAnswer parse_answer(std::string_view line) {
  const Json json = parse_object(line);
  WorkerAnswer answer{field<std::string>(json, "error", line), field<int>(json, "code", line),
                      field<std::string>(json, "method", line),
                      field<std::uint64_t>(json, "bytes", line),
                      field<std::int64_t>(json, "end_ns", line)};
  const bool failed = answer.code != 0;
  if (failed == answer.error.empty() || answer.code < 0 ||
      answer.code > static_cast<int>(ErrorCode::cancelled)) {
    refuse(line, "error and code do not fit together");
  }
  return answer;
}

}  // namespace kvferry::cli::bench
