// The pairs of memories, paths and ways to be reached that owe the contract.
#include "contract/contract.hpp"

namespace kvferry::contract {
namespace {

INSTANTIATE_TEST_SUITE_P(Host, Contract,
                         ::testing::Values(Pair{"memfd", "host", "host"},
                                           Pair{"fromPrivate", "host", "host_private"},
                                           Pair{"toPrivate", "host_private", "host"},
                                           Pair{"splitToJoint", "host", "host_split"}),
                         [](const auto& pair) { return pair.param.name; });
INSTANTIATE_TEST_SUITE_P(
    Tcp, Contract,
    ::testing::Values(Pair{"onOneHost", "host", "host", "tcp", Reach::data},
                      Pair{"oneStream", "host", "host", "tcp", Reach::data, 1},
                      Pair{"betweenHosts", "host", "host", "auto", Reach::network},
                      Pair{"checked", "host", "host_private", "tcp", Reach::data, 3, true},
                      Pair{"splitToJoint", "host", "host_split", "auto", Reach::network},
                      Pair{"jointToSplit", "host_split", "host", "tcp", Reach::data}),
    [](const auto& pair) { return pair.param.name; });
// The same between hosts where every byte is inside TLS 1.3, by either credential; and where, by
// the word of both sides, the blocks are not.
INSTANTIATE_TEST_SUITE_P(Tls, Contract,
                         ::testing::Values(Pair{"byToken", "host", "host", "auto", Reach::network,
                                                0, false, "", "token"},
                                           Pair{"byCertificate", "host", "host", "auto",
                                                Reach::network, 3, false, "", "certificate"},
                                           Pair{"checkedSplitToJoint", "host", "host_split", "auto",
                                                Reach::network, 2, true, "", "token"},
                                           Pair{"plainData", "host", "host_private", "auto",
                                                Reach::network, 2, false, "", "plain data"}),
                         [](const auto& pair) { return pair.param.name; });
INSTANTIATE_TEST_SUITE_P(
    TcpGpu, Contract,
    ::testing::Values(Pair{"gpus", "cuda:0", "cuda:1", "tcp", Reach::data},
                      Pair{"oneGpu", "cuda:0", "cuda:0", "auto", Reach::network, 1},
                      Pair{"fromHost", "cuda:0", "host", "tcp", Reach::data},
                      Pair{"toHost", "host", "cuda:0", "auto", Reach::network, 4, true},
                      Pair{"fromMalloc", "cuda:0", "cuda_malloc:0", "tcp", Reach::data},
                      Pair{"toSplit", "host_split", "cuda:0", "tcp", Reach::data}),
    [](const auto& pair) { return pair.param.name; });
// No RDMA card is at hand: the same code over what UCX can do without one.
INSTANTIATE_TEST_SUITE_P(Ucx, Contract,
                         ::testing::Values(Pair{"overTcpInSoftware", "host", "host", "ucx",
                                                Reach::unix_socket, 0, false, "tcp"},
                                           Pair{"overTcpInSoftwarePrivateToSplit", "host_split",
                                                "host_private", "ucx", Reach::unix_socket, 0, false,
                                                "tcp"}),
                         [](const auto& pair) { return pair.param.name; });
INSTANTIATE_TEST_SUITE_P(Gpu, Contract,
                         ::testing::Values(Pair{"sameGpu", "cuda:0", "cuda:0"},
                                           Pair{"peerGpu", "cuda:1", "cuda:0"},
                                           Pair{"fromMalloc", "cuda:0", "cuda_malloc:0"},
                                           Pair{"toMalloc", "cuda_malloc:0", "cuda:0"},
                                           Pair{"peerMalloc", "cuda:0", "cuda_malloc:1"},
                                           Pair{"hostToGpu", "cuda:0", "host"},
                                           Pair{"gpuToHost", "host", "cuda:0"}),
                         [](const auto& pair) { return pair.param.name; });

}  // namespace
}  // namespace kvferry::contract
