#include <fmt/format.h>

#include "client.hpp"
#include "commands.hpp"
#include "path_lines.hpp"

namespace kvferry::cli {

void run_explain(const ExplainOptions& options, Context& context) {
  // Nothing moves, so one block tells as much as a full pool.
  const ClientPlan plan{"explain", resolve_one_block(options.geometry), 0, {}};
  context.report.geometry = plan.geometry;
  context.out.line("kvferry explain: {}", where_to(options.endpoint));
  const ConnectedClient connected = connect_client(options, plan, context);
  for (const RemoteReport& remote : context.report.remotes) {
    if (context.report.remotes.size() > 1) context.out.line("{}:", printable(remote.peer));
    print_all_paths(remote.pairs, context.out);
  }
}

}  // namespace kvferry::cli
