#include "bench/help_text.hpp"

namespace kvferry::cli::bench {

const char* const kBenchText =
    R"(Measure how fast blocks move on this machine, and how fast they could.

Starts servers of its own (kvferry serve, on sockets in a private directory), is their
client, and ends them again. Every pair of devices is measured: host memory, each GPU
with itself, GPUs with one another, GPUs with host memory. Each case is first checked to
the byte, then timed from the call to the moment the caller knows that it is done.

Beside every figure stands one contiguous copy of the same bytes between the same two
devices, measured in turn with it: cudaMemcpyAsync where there is a GPU, the best of
memcpy and streaming stores on as many threads in host memory; over networks what the
groups tcp and ucx name below. "of ref" is what part of
that copy's rate the transfer reaches: the median of the ratios of single repetitions,
with its 95 % confidence interval. Nothing is a best-of.

Groups:
  throughput  160 MiB (64 blocks x 40 layers x 64 KiB) and more, scattered and
              contiguous, pull and push, by kernel and by copy engine
  blocks      the same bytes in blocks of 512 B to 4 MiB, odd sizes, strided layouts
  sms         with a budget of 1 SM to all, and by the copy engine alone
  latency     one block: median, 99th and 99.9th percentile
  posting     CPU time of the call that starts a transfer
  clients     1 to 64 clients of one server, 1 client of 8 servers, both directions
  tcp         path tcp between two processes over loopback, host memory and GPUs: 160 MiB
              by 1, 2 and 8 streams, plain, with checksums, inside TLS; one block in 40
              layers. The reference is one contiguous buffer copied by plain sockets over
              as many connections with the same congestion control; inside TLS, what one
              core encrypts (AES-256-GCM, as openssl speed measures it). Beside them: what
              OpenSSL alone reaches inside TLS, and iperf3, where it is installed
  ucx         path ucx, by RDMA or what --ucx-transports names, beside one contiguous get
              of UCX's own

A full run takes some minutes a pair of devices; Ctrl-C ends it with what there is.)";

const char* const kBenchFooter = R"(Examples:
  kvferry bench --quick
  kvferry bench --html report.html --json today.json
  kvferry bench --only latency,throughput/nvlink --reps 101
  kvferry bench --only clients/host --csv -
  kvferry bench --only tcp --congestion reno
  kvferry bench --only ucx --ucx-transports tcp
  kvferry bench --compare yesterday.json today.json
  kvferry bench --calibrate costs.json
  kvferry bench --quick --costs costs.json

A quiet machine matters: the command warns where it is busy, and notes every figure
whose interval is wider than 5 %. GPUs are counted among CUDA_VISIBLE_DEVICES.

Environment:
  CUDA_VISIBLE_DEVICES  the GPUs this process and its servers may use
  PATH                  where iperf3 is looked for

Exit codes:
  0    done
  1    bytes arrived wrong; or --compare found something slower
  2    wrong usage, or a file that cannot be read or written
  3    a server or client of the benchmark died
  4    refused: this build cannot write --html
  6    local resource: too little memory, no process can be started
  130  interrupted; what was measured until then has been printed and written)";

}  // namespace kvferry::cli::bench
