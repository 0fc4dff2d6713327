"""NIXL, from its released wheel: UCX backend, one registration per side, descriptor lists of all blocks prepared once.

Options (from contestants.py): "progress_thread" of the side that starts transfers. NIXL_UCX_SGL_ENABLE comes with the
environment.
"""

import base64
import os
import time
from importlib import metadata

import numpy as np
from peer_driver import Contestant, serve


class Nixl(Contestant):
    def begin(self, geometry, options):
        from nixl_cu13._api import nixl_agent, nixl_agent_config

        self.geometry = geometry
        self.kind = "DRAM" if geometry.device < 0 else "VRAM"
        # The owner has nobody else to answer for it.
        self.progress = options["role"] == "owner" or options.get("progress_thread", True)
        config = nixl_agent_config(enable_prog_thread=self.progress)
        self.agent = nixl_agent(f"{options['role']}-{os.getpid()}", config)

    def own(self, geometry, memory):
        self.memory = memory
        # One registration for the pool: fewer handles, and the fewest mappings, for UCX.
        region = [(memory.base, geometry.pool_bytes, max(geometry.device, 0), "")]
        self.registered = self.agent.register_memory(region, self.kind)
        address = {
            "metadata": base64.b64encode(self.agent.get_agent_metadata()).decode(),
            "base": memory.base,
            "device": max(geometry.device, 0),
        }
        settings = {
            "version": metadata.version("nixl-cu13"),
            "progress_thread": self.progress,
            "ucx_parameters": self.agent.get_backend_params("UCX"),
            "environment": {k: v for k, v in os.environ.items() if k.startswith(("NIXL_", "UCX_"))},
        }
        return address, settings

    def connect(self, address):
        self.peer = self.agent.add_remote_agent(base64.b64decode(address["metadata"]))
        self.agent.make_connection(self.peer)
        own_device = max(self.geometry.device, 0)
        self.local = self._prepare("NIXL_INIT_AGENT", self.memory.base, own_device)
        self.remote = self._prepare(self.peer, address["base"], address["device"])
        self.handle = None

    def _prepare(self, agent, base, device):
        """All blocks of all layers, layer by layer: index = layer * blocks + id."""
        blocks = np.arange(self.geometry.layers * self.geometry.blocks, dtype=np.uint64)
        rows = np.empty((blocks.size, 3), dtype=np.uint64)
        rows[:, 0] = np.uint64(base) + blocks * np.uint64(self.geometry.block_bytes)
        rows[:, 1] = self.geometry.block_bytes
        rows[:, 2] = device
        return self.agent.prep_xfer_dlist(agent, rows, self.kind)

    def _indices(self, ids):
        first = np.arange(self.geometry.layers, dtype=np.int32) * np.int32(self.geometry.blocks)
        return (first[:, None] + np.asarray(ids, dtype=np.int32)[None, :]).ravel()

    def choose(self, pull, local, remote):
        if self.handle is not None:
            self.agent.release_xfer_handle(self.handle)
        operation = "READ" if pull else "WRITE"
        sides = (self.local, self._indices(local), self.remote, self._indices(remote))
        making = []
        for _ in range(5):  # the handle is reused; what making one for new ids costs is reported
            start = time.perf_counter()
            self.handle = self.agent.make_prepped_xfer(operation, *sides, b"")
            making.append(time.perf_counter() - start)
        return {"making_s": sorted(making)[2]}

    def transfer(self):
        agent, handle = self.agent, self.handle
        state = agent.transfer(handle)
        while state == "PROC":
            state = agent.check_xfer_state(handle)
        if state != "DONE":
            raise RuntimeError(f"the transfer ended as {state}")

    def method(self):
        return f"UCX backend, {self.kind}"


if __name__ == "__main__":
    serve(Nixl())
