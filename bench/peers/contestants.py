"""Who is compared, and how each is driven. docs/peers.md tells it to people."""

from dataclasses import dataclass, field

# Set by contestants alone: what a shell has of them must not decide which contestant runs.
OWN_VARIABLES = ("NIXL_UCX_SGL_ENABLE", "MC_INTRANODE_NVLINK", "MC_FORCE_TCP", "MC_FORCE_MNNVL")


@dataclass(frozen=True)
class Contestant:
    key: str
    label: str
    driver: str  # a program of bench/peers; NAME.py runs in Python with the wheels
    options: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    # Memories it has nothing for, with the reason that its row shows.
    not_for: dict = field(default_factory=dict)


GPU_ONLY = {"host": "for GPU memory only"}

KVFERRY = Contestant("kvferry", "kvferry", "kvferry_driver")
OTHERS = [
    Contestant("nixl", "NIXL", "nixl_driver.py"),
    Contestant(
        "nixl-sgl",
        "NIXL, NIXL_UCX_SGL_ENABLE=1",
        "nixl_driver.py",
        environment={"NIXL_UCX_SGL_ENABLE": "1"},
    ),
    Contestant(
        "nixl-polled",
        "NIXL, without the caller's progress thread",
        "nixl_driver.py",
        options={"progress_thread": False},
    ),
    Contestant("mooncake-tcp", "Mooncake, tcp", "mooncake_driver.py", environment={"MC_FORCE_TCP": "1"}),
    Contestant(
        "mooncake-tcp-pool",
        "Mooncake, tcp, connection pool and 1 MiB slices",
        "mooncake_driver.py",
        environment={
            "MC_FORCE_TCP": "1",
            "MC_TCP_ENABLE_CONNECTION_POOL": "1",
            "MC_TCP_SLICE_SIZE": "1048576",
        },
    ),
    Contestant(
        "mooncake-nvlink",
        "Mooncake, nvlink_intra",
        "mooncake_driver.py",
        environment={"MC_INTRANODE_NVLINK": "1"},
        not_for=GPU_ONLY,
    ),
    Contestant(
        "cuda-loop",
        "loop of cudaMemcpyAsync",
        "cuda_by_hand",
        options={"copy": "loop"},
        not_for=GPU_ONLY,
    ),
    Contestant(
        "cuda-batch",
        "cudaMemcpyBatchAsync",
        "cuda_by_hand",
        options={"copy": "batch"},
        not_for=GPU_ONLY,
    ),
    Contestant("memcpy", "loop of memcpy", "host_by_hand", not_for={"cuda": "for host memory only"}),
]
ALL = [KVFERRY, *OTHERS]
