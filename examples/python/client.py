"""Pulls the blocks of 1024 tokens from a server and checks them: python client.py [ADDRESS [MEMORY_GIB]]"""

import importlib
import sys

import kvferry

address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:5555"
gib = float(sys.argv[2]) if len(sys.argv) > 2 else 4
device = "cuda:0" if kvferry.cuda_device_count() else "cpu"
arrays = importlib.import_module("torch" if device != "cpu" else "numpy")

shape = kvferry.CacheShape()  # must be the server's; a difference is refused, with a table
pool = kvferry.Pool.allocate(shape, shape.blocks_for(int(gib * 2**30)), device)
ids = list(range(shape.blocks_for_tokens(1024)))
with kvferry.Node("example-client") as node:
    node.add(pool)
    report = node.connect(address).pull(remote_ids=ids, local_ids=ids).wait()

pulled = (arrays.asarray(pool.layer(layer, raw=True))[ids] for layer in range(shape.layers))
good = all(bool((blocks == 1).all()) for blocks in pulled)
rate = f"{report.bytes / report.total_s / 1e9:.1f} GB/s over {report.path}"
print(f"{report.blocks} blocks x {report.layers} layers, {rate}: {'all ones' if good else 'WRONG'}")
sys.exit(not good)
