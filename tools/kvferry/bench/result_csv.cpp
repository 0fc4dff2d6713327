#include "bench/result_csv.hpp"

#include <fmt/format.h>

#include <iterator>
#include <optional>
#include <string_view>
#include <vector>

namespace kvferry::cli::bench {
namespace {

constexpr std::string_view kHeader =
    "key,group,path,link,from,to,direction,order,copy,layout,block_bytes,blocks,layers,bytes,"
    "max_sms,clients,servers,processes,streams,wire,method,count,median_s,median_low_s,median_high_"
    "s,min_s,"
    "max_s,p99_s,p999_s,gb_per_s,reference,reference_median_s,of_reference,of_reference_low,"
    "of_reference_high,verified,note";

// A spreadsheet runs a field that starts like this as a formula, quoted or not.
bool looks_like_formula(std::string_view text) {
  return !text.empty() && std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos;
}

class Line {
 public:
  Line& text(std::string_view text) {
    std::string field(looks_like_formula(text) ? "'" : "");
    field += text;
    if (field.find_first_of(",\"\r\n") == std::string::npos) return raw(field);
    std::string quoted = "\"";
    for (const char c : field) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    return raw(quoted + '"');
  }
  template <typename T>
  Line& number(T value) {
    return raw(fmt::format("{}", value));  // the shortest text that reads back as the same value
  }
  Line& number(std::optional<double> value) {
    return value ? raw(fmt::format("{}", *value)) : raw({});
  }
  std::string end() const { return line_ + '\n'; }

 private:
  Line& raw(std::string_view field) {
    if (!first_) line_ += ',';
    first_ = false;
    line_ += field;
    return *this;
  }

  std::string line_;
  bool first_ = true;
};

std::string figure_line(const Figure& figure) {
  const Work& work = figure.work;
  Line line;
  line.text(work.key()).text(to_string(work.group)).text(work.path);
  line.text(work.link).text(work.from).text(work.to).text(work.direction).text(work.order);
  line.text(work.copy).text(work.layout).number(work.block_bytes).number(work.blocks);
  line.number(work.layers).number(work.bytes()).number(work.max_sms).number(work.clients);
  line.number(work.servers).number(work.processes).number(work.streams);
  line.text(work.wire).text(figure.method);
  const stats::Summary& ours = figure.ours;
  line.number(ours.count).number(ours.median).number(ours.median_ci.low);
  line.number(ours.median_ci.high).number(ours.min).number(ours.max).number(ours.p99);
  line.number(ours.p999).number(figure.gb_per_s).text(figure.reference_name);
  std::optional<double> reference, ratio, low, high;
  if (figure.reference) reference = figure.reference->median;
  if (figure.of_reference) {
    ratio = figure.of_reference->median;
    low = figure.of_reference->ci.low;
    high = figure.of_reference->ci.high;
  }
  line.number(reference).number(ratio).number(low).number(high).number(figure.verified ? 1 : 0);
  return line.text(figure.note).end();
}

}  // namespace

std::string to_csv(const Result& result) {
  std::string csv = std::string(kHeader) + '\n';
  for (const Figure& figure : result.figures) csv += figure_line(figure);
  return csv;
}

}  // namespace kvferry::cli::bench
