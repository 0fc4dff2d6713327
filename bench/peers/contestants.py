"""Who is compared, and how each is driven. docs/peers.md tells it to people."""

from dataclasses import dataclass, field

# Set by contestants alone: what a shell has of them must not decide which contestant runs.
OWN_VARIABLES = (
    "NIXL_UCX_SGL_ENABLE",
    "MC_INTRANODE_NVLINK",
    "MC_FORCE_TCP",
    "MC_FORCE_MNNVL",
    "UCX_TLS",
)


@dataclass(frozen=True)
class Contestant:
    key: str
    label: str
    driver: str  # a program of bench/peers; NAME.py runs in Python with the wheels
    options: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    # Memories it has nothing for, with the reason that its row shows.
    not_for: dict = field(default_factory=dict)
    # Set beside `environment` where pools lie on GPUs.
    gpu_environment: dict = field(default_factory=dict)
    needs_cores: int = 1
    contiguous: bool = False  # moves the first blocks, whatever the ids of the case
    against: str = ""  # which of ours it is compared with; empty: the fastest

    @property
    def ours(self):
        return self.driver == "kvferry_driver"

    def why_not(self, memory, cores):
        """Why it has no part in a comparison on such a machine; None: it has."""
        if memory in self.not_for:
            return self.not_for[memory]
        if cores < self.needs_cores:
            return f"needs {self.needs_cores} cores, here are {cores}"
        return None


GPU_ONLY = {"host": "for GPU memory only"}

MOONCAKE_TCP = [
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
]

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
    *MOONCAKE_TCP,
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


def _streams(count):
    """Ours and plain sockets over so many connections."""
    words = f"{count} stream" + ("s" if count > 1 else "")
    options, cores = {"streams": count}, count if count > 2 else 1
    return [
        Contestant(
            f"kvferry-{count}",
            f"kvferry, {words}",
            "kvferry_driver",
            options={"path": "tcp", **options},
            needs_cores=cores,
        ),
        Contestant(
            f"sockets-{count}",
            f"plain sockets, contiguous, host memory, {words}",
            "sockets_by_hand",
            options=options,
            needs_cores=cores,
            contiguous=True,
            against=f"kvferry-{count}",
        ),
    ]


def _nixl_tcp(key, label, **more):
    return Contestant(
        key,
        label,
        "nixl_driver.py",
        # Without cuda_copy UCX takes a GPU's memory for a host's.
        environment={"UCX_TLS": "tcp"},
        gpu_environment={"UCX_TLS": "tcp,cuda_copy"},
        **more,
    )


NETWORK = [
    *(contestant for count in (1, 2, 8) for contestant in _streams(count)),
    _nixl_tcp("nixl-tcp", "NIXL, UCX_TLS=tcp"),
    _nixl_tcp(
        "nixl-tcp-polled",
        "NIXL, UCX_TLS=tcp, without the caller's progress thread",
        options={"progress_thread": False},
    ),
    *MOONCAKE_TCP,
]


def those_of(network):
    """Who takes part in a comparison: over TCP alone, or by whatever each has."""
    return NETWORK if network else ALL
