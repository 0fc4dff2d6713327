#include "plan/help_text.hpp"

namespace kvferry::cli::planning {

const char* const kText = R"(Predict sizes and transfer times of a model's KV cache.

Computes, without any hardware: bytes of a block and of a token, blocks and requests that
a memory budget holds, how long a request's blocks take over each link, and how block
size and tensor parallelism change that. It is a prediction: kvferry bench measures.)";

const char* const kFooter = R"(How times are predicted:
  fused copy      start + bytes / rate: all blocks of all layers in one copy, as kvferry
                  moves them, whatever the order of the ids
  copy per piece  start + max(bytes / rate, pieces x post): one copy for each block of each
                  layer, as a loop of cudaMemcpyAsync makes them. Only for links of a GPU,
                  where the cost of posting was measured
  Rates are either measured by this project or a data sheet's line rate times an
  efficiency; the output says which, and names the source of each. A start that nobody
  measured has a ~ before it. Nothing else is using the link, and mapping the memory (once
  for each pair of pools) is not included.

Links:
  measured        nvlink4 (or nvlink), same-gpu, pcie5, host
  data sheet      nvlink5, nvlink3, pcie4
  InfiniBand      ndr400, hdr200, edr100 (data sheet)
  Ethernet, TCP   400gbe, 200gbe, 100gbe, 50gbe, 25gbe, 10gbe (standard)
  pcie is between host memory and a GPU, host between two processes' host memory. Links
  between machines are predicted from their data sheets; kvferry bench measures.

Tensor parallelism:
  The geometry is the whole model's. TP ranks divide the heads; fewer heads than ranks are
  each held by several ranks, and an MLA latent by all, as vLLM and SGLang do. Both sides
  have the same number of ranks. "own links" is the time where each rank has a link to
  itself, "one link" where they share one. Block size and TP are shown for the first of
  --tokens on the first of --link; --json has all of them.

Pieces assume K and V in one tensor for each layer; apart, there are twice as many, half as
large.

Examples:
  kvferry plan --model config.json
  kvferry plan --model config.json --tokens 1024,8192,131072 --link nvlink,pcie5,100gbe
  kvferry plan --model config.json --available-memory 40 --dtype fp8_e4m3 --block-size 64
  kvferry plan --layers 61 --kv 1 --heads 1 --dims 576 --gb-per-s 45 --start-us 20
  kvferry plan --model config.json --link all --json -

Exit codes:
  0  done
  2  wrong usage, or a model whose cache no one geometry describes
  6  local resource: the results cannot be written)";

}  // namespace kvferry::cli::planning
