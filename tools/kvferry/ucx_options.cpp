#include "ucx_options.hpp"

#include "option_checks.hpp"

namespace kvferry::cli {

void add_ucx(CLI::App& app, UcxOptions& options) {
  app.add_option("--ucx-transports", options.transports,
                 "what UCX may use, as UCX_TLS names it, e.g. tcp or rc,tcp; on both sides. Beyond "
                 "RDMA UCX copies in software and checks no keys: a peer that was let in can then "
                 "read and write any byte of this process (docs/rdma.md)")
      ->type_name("LIST")
      ->check(not_empty())
      ->default_str("RDMA alone")
      ->group("RDMA (path ucx)");
}

}  // namespace kvferry::cli
