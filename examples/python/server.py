"""Serves a KV cache filled with ones until Ctrl-C: python server.py [PORT [MEMORY_GIB]]"""

import contextlib
import importlib
import signal
import sys

import kvferry

port = int(sys.argv[1]) if len(sys.argv) > 1 else 5555
gib = float(sys.argv[2]) if len(sys.argv) > 2 else 4
device = "cuda:0" if kvferry.cuda_device_count() else "cpu"
arrays = importlib.import_module("torch" if device != "cpu" else "numpy")

shape = kvferry.CacheShape()  # Mistral-Small-3.1: 40 layers of 64 KiB blocks
pool = kvferry.Pool.allocate(shape, shape.blocks_for(int(gib * 2**30)), device)
for layer in range(shape.layers):
    arrays.asarray(pool.layer(layer, raw=True))[...] = 1  # bytes

with kvferry.Node("example-server") as node, contextlib.suppress(KeyboardInterrupt):
    node.add(pool)
    print(f"serving {pool.blocks} blocks on {device} at {node.listen(port=port)}", flush=True)
    signal.pause()
