#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include "bench/report_html.hpp"
#include "bench/sample_result.hpp"

// Writes the page of a sample result to standard output:
//   sample_page [full|empty|hostile|quick]
// Exits with 77 where this build can write no page.
namespace {

using namespace kvferry::cli::bench;

Result hostile() {
  Result result = sample_result();
  const std::string attack =
      "</script><script>window.attacked = 1</script><img src=x onerror=\"window.attacked = 2\">"
      "<b id=attack>\xe2\x80\xa8'\"`${window.attacked = 3}\\ javascript:window.attacked=4";
  Machine& machine = result.machine;
  for (std::string* text :
       {&machine.host, &machine.cpu, &machine.driver, &machine.kernel, &machine.gpus[0].name,
        &machine.gpus[1].uuid, &result.command, &result.commit, &result.build, &result.date}) {
    *text = attack;
  }
  for (Figure& figure : result.figures) {
    figure.method = figure.note = figure.reference_name = attack;
    figure.work.from = figure.work.order = figure.work.layout = attack;
  }
  result.skipped.push_back({attack, attack});
  return result;
}

Result chosen(std::string_view which) {
  if (which == "empty") return Result{};
  if (which == "hostile") return hostile();
  Result result = sample_result();
  result.quick = result.interrupted = which == "quick";
  return result;
}

}  // namespace

int main(int count, char** arguments) try {
  if (!html_refusal().empty()) {
    std::fprintf(stderr, "%s\n", std::string(html_refusal()).c_str());
    return 77;
  }
  const std::string page = to_html(chosen(count > 1 ? arguments[1] : "full"));
  return std::fwrite(page.data(), 1, page.size(), stdout) == page.size() ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "sample_page: %s\n", error.what());
  return 1;
}
