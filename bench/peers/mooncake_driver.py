"""Mooncake's TransferEngine, from its released wheel: peer to peer, one registration per side, one batch per transfer.

The transport follows the environment that contestants.py sets: tcp, or with MC_INTRANODE_NVLINK=1 nvlink_intra.
"""

import os
from importlib import metadata

import numpy as np
from peer_driver import Contestant, serve


class Mooncake(Contestant):
    def begin(self, geometry, options):
        from cuda_memory import load_runtime

        load_runtime()  # which the extension needs for any memory, and need not find by itself
        from mooncake.engine import TransferEngine

        self.geometry = geometry
        self.engine = TransferEngine()
        self._good(self.engine.initialize("127.0.0.1", "P2PHANDSHAKE", "tcp", ""), "initialize")

    def own(self, geometry, memory):
        self.memory = memory
        self._good(self.engine.register_memory(memory.base, geometry.pool_bytes), "register_memory")
        cards = "/sys/class/infiniband"
        settings = {
            "version": self._version(),
            # Where there are any, the engine may prefer them to tcp.
            "infiniband": sorted(os.listdir(cards)) if os.path.isdir(cards) else [],
            "environment": {k: v for k, v in os.environ.items() if k.startswith("MC_")},
        }
        return {"peer": f"127.0.0.1:{self.engine.get_rpc_port()}", "base": memory.base}, settings

    def _version(self):
        for name in ("mooncake-transfer-engine-cuda13", "mooncake-transfer-engine"):
            try:
                return f"{metadata.version(name)} ({name})"
            except metadata.PackageNotFoundError:
                continue
        return "unknown"

    def connect(self, address):
        self.peer, self.peer_base = address["peer"], address["base"]

    def _addresses(self, base, ids):
        geometry = self.geometry
        layers = np.arange(geometry.layers, dtype=np.uint64) * np.uint64(geometry.layer_bytes)
        blocks = np.asarray(ids, dtype=np.uint64) * np.uint64(geometry.block_bytes)
        return (np.uint64(base) + layers[:, None] + blocks[None, :]).ravel()

    def choose(self, pull, local, remote):
        ours = self._addresses(self.memory.base, local)
        theirs = self._addresses(self.peer_base, remote)
        sizes = np.full(ours.size, self.geometry.block_bytes, dtype=np.uint64)
        verb = "read" if pull else "write"
        # Arrays cost the interpreter nothing per block; older wheels have lists only.
        call = getattr(self.engine, f"batch_transfer_sync_{verb}_arrays", None)
        self.call_name = f"batch_transfer_sync_{verb}" + ("_arrays" if call else "")
        if call is None:
            call = getattr(self.engine, self.call_name)
            ours, theirs, sizes = ours.tolist(), theirs.tolist(), sizes.tolist()
        self.run = lambda: call(self.peer, ours, theirs, sizes)

    def transfer(self):
        self._good(self.run(), self.call_name)

    def _good(self, result, what):
        if result != 0:
            raise RuntimeError(f"{what} returned {result}")

    def method(self):
        transport = "nvlink_intra" if "MC_INTRANODE_NVLINK" in os.environ else "tcp"
        return f"{transport}, {self.call_name}"


if __name__ == "__main__":
    serve(Mooncake())
