#include "help_text.hpp"

#include <fmt/format.h>

#include "kvferry/version.hpp"
#include "options.hpp"

namespace kvferry::cli {

const char* const kRootText =
    R"(kvferry moves blocks of a paged KV cache, in all layers, between two processes.)";

const char* const kRootFooter = R"(Try it, in two terminals:
  kvferry serve
  kvferry pull --blocks scattered --count 5

Each command has its own help: kvferry pull --help, or kvferry help pull.

Environment:
  CUDA_VISIBLE_DEVICES  the GPUs this process may use; --device cuda:N counts among these
  XDG_RUNTIME_DIR       where serve puts its Unix socket, see kvferry serve --help)";

const char* const kServeText = R"(Hold a KV cache and let other processes pull from it.

Allocates a pool named "kv", fills it, and serves any number of clients at once until
Ctrl-C or SIGTERM; then prints totals and exits 0. One line for every client that
connects, is refused, has moved blocks, or leaves. Processes on this host are let in
when they run as the same user, others by the credential they share with the server.)";

const char* const kServeFooter = R"(Examples:
  kvferry serve
  kvferry serve --device host --fill indexed --available-memory 0.5
  CUDA_VISIBLE_DEVICES=1 kvferry serve --model config.json --writable
  kvferry serve --ip 10.0.0.5 --token-file cluster.token
  kvferry serve --ip 10.0.0.5 --tls-cert prefill-0.pem --tls-key prefill-0.key \
      --tls-ca ca.pem --permit decode-3=read --permit loader=read,write:kv

Environment:
  CUDA_VISIBLE_DEVICES  the GPUs this process may use; --device cuda:N counts among these
  XDG_RUNTIME_DIR       the Unix socket is $XDG_RUNTIME_DIR/kvferry-PORT.sock where this is
                        a directory of ours and closed to others; otherwise it is
                        /tmp/kvferry-UID/kvferry-PORT.sock (directory made with mode 0700)

Exit codes:
  0  ended by Ctrl-C or SIGTERM
  2  wrong usage
  4  refused: an --ip beyond this host without a credential or --insecure
  6  local resource: port or socket in use, no such GPU, too little memory)";

const char* const kPullText = R"(Copy blocks from a server's KV cache into a local one.

Allocates a pool like the server's, copies the blocks of all layers into it, and prints
size, time, GB/s (10^9 bytes a second) and path of each transfer, then a summary and the
verification: every byte of every block pulled is compared with what the server said it
holds, and everything else in the local pool with what it held before. The destination
is overwritten with another pattern before each transfer, outside the timing.)";

const char* const kPullFooter = R"(Examples:
  kvferry pull
  kvferry pull --blocks scattered:1 --into scattered:2 --count 20
  kvferry pull --blocks 0-7,12,40 --layer-range 0:20 --json -
  kvferry pull --ip 10.0.0.5 --token-file cluster.token
  CUDA_VISIBLE_DEVICES=0 kvferry pull --copy engine --deadline 30s

Scattered ids with seed S: step i of a Fisher-Yates shuffle of 0..n-1 swaps places i and
i + x mod (n - i), where x is the next number of std::mt19937_64(S).

Environment:
  CUDA_VISIBLE_DEVICES  the GPUs this process may use; --device cuda:N counts among these)";

const char* const kPushText = R"(Copy blocks of a local KV cache into a server's.

The server must have been started with --writable. Allocates a pool, fills the blocks to
be sent with a pattern that is new for each transfer, pushes them, and prints size, time,
GB/s (10^9 bytes a second) and path. Verification pulls the blocks back into other memory
and compares every byte; blocks of the server's pool that were not pushed, and that still
held the server's own fill, are compared before and after. Both are outside the timing.)";

const char* const kPushFooter = R"(Examples:
  kvferry push
  kvferry push --blocks scattered:3 --into scattered:4 --count 5
  kvferry push --blocks 100-163 --into 0-63 --no-verify

--blocks are always the server's ids and --into the local ones; a push writes the former.

Environment:
  CUDA_VISIBLE_DEVICES  the GPUs this process may use; --device cuda:N counts among these)";

const char* const kExplainText =
    R"(Show which path transfers with a server take, and for each other path why not.

Connects and compares capabilities; moves nothing. The local pool is one block large.)";

const char* const kExplainFooter = R"(Examples:
  kvferry explain
  kvferry explain --device host --json -

Environment:
  CUDA_VISIBLE_DEVICES  the GPUs this process may use; --device cuda:N counts among these)";

const char* const kCompletionText = "Print a shell's completion script.";

const char* const kCompletionFooter = R"(Examples:
  source <(kvferry completion bash)
  kvferry completion zsh > "${fpath[1]}/_kvferry"
  kvferry completion fish > ~/.config/fish/completions/kvferry.fish)";

std::string exit_codes_help() {
  return R"(Exit codes:
  0    done
  1    the transfer or its verification failed
  2    wrong usage
  3    the peer cannot be reached, or it died
  4    refused: geometry, capability, permission, or only a slow path
  5    the deadline passed
  6    local resource: port in use, no such GPU, too little memory
  130  interrupted)";
}

std::string version_text() {
  return fmt::format("kvferry {}\nbuild: {}", version(), build_description());
}

}  // namespace kvferry::cli
