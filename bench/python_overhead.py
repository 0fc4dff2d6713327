#!/usr/bin/env python3
"""What Python adds to one prepared pull, call to done: the same posts and waits in Python and in C++, in turn.

    python bench/python_overhead.py [--device cuda:0] [--from cuda:1] [--blocks 1] [--json FILE]

Two nodes in two processes, blocks of 64 KiB in 40 layers. Rounds of Python (post, wait, report) and of C++ (the same
calls, in a loop inside the extension) alternate; each round gives its median, and the difference of neighbouring rounds
is what is reported, with the 95 % confidence interval of its median. Exits with 1 above --limit.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import sys
import time
from multiprocessing.connection import Connection
from typing import NamedTuple

import kvferry

SHAPE = kvferry.CacheShape()
POOL_BLOCKS = 64


def serve(device: str, pipe: Connection) -> None:
    with kvferry.Node("server") as node:
        node.add(kvferry.Pool.allocate(SHAPE, POOL_BLOCKS, device))
        pipe.send(node.listen(port=0))
        pipe.recv()


def python_round(step: kvferry.PreparedTransfer, count: int) -> float:
    took = []
    for _ in range(count):
        started = time.perf_counter()
        step.post().wait()
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def cpp_round(step: kvferry.PreparedTransfer, count: int) -> float:
    return statistics.median(step._core.time_posts(count))


def interval(values: list[float]) -> tuple[float, float]:
    """95 % of the median, by the order statistics of the binomial distribution."""
    ordered, n = sorted(values), len(values)
    reach = int(0.98 * n**0.5) + 1
    return ordered[max(n // 2 - reach, 0)], ordered[min((n - 1) // 2 + reach, n - 1)]


class Result(NamedTuple):
    """Microseconds of one pull."""

    python_us: float
    cpp_us: float
    added_us: float
    added_low_us: float
    added_high_us: float


def measure(step: kvferry.PreparedTransfer, rounds: int, count: int) -> Result:
    python_round(step, count)
    cpp_round(step, count)
    pairs = [(python_round(step, count), cpp_round(step, count)) for _ in range(rounds)]
    added = [p - c for p, c in pairs]
    low, high = interval(added)
    return Result(
        statistics.median(p for p, _ in pairs) * 1e6,
        statistics.median(c for _, c in pairs) * 1e6,
        statistics.median(added) * 1e6,
        low * 1e6,
        high * 1e6,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="of the pulling pool (default cpu)")
    parser.add_argument("--from", dest="there", default=None, help="of the server's pool (default: the same)")
    parser.add_argument("--blocks", type=int, default=1, help="blocks of one pull (default 1)")
    parser.add_argument("--rounds", type=int, default=30, help="of each kind (default 30)")
    parser.add_argument("--count", type=int, default=300, help="pulls in a round (default 300)")
    parser.add_argument("--limit", type=float, default=5.0, help="microseconds that Python may add (default 5)")
    parser.add_argument("--json", help="also write the result here")
    options = parser.parse_args()

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(options.there or options.device, theirs), daemon=True)
    server.start()
    address = ours.recv()
    with kvferry.Node("client") as node:
        node.add(kvferry.Pool.allocate(SHAPE, POOL_BLOCKS, options.device))
        peer = node.connect(address, timeout=30)
        ids = range(options.blocks)
        step = peer.prepare_pull(ids, ids)
        report = step.post().wait()
        result = measure(step, options.rounds, options.count)
    ours.send("end")
    server.join()

    about = {
        "path": report.path,
        "method": report.method,
        "bytes": report.bytes,
        "kvferry": kvferry.build_description(),
        "python": platform.python_version(),
        "command": " ".join(sys.argv),
    }
    print(f"{report.bytes >> 10} KiB by {report.path} ({report.method}), post to report, medians:")
    print(f"  Python {result.python_us:.2f} us, C++ {result.cpp_us:.2f} us")
    print(
        f"  Python adds {result.added_us:.2f} us [{result.added_low_us:.2f}, {result.added_high_us:.2f}]; "
        f"at most {options.limit:g} are allowed"
    )
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(result._asdict() | about, file, indent=2)
    return 0 if result.added_us <= options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
