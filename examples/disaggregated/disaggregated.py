#!/usr/bin/env python3
"""Prefills in one process and decodes in another: the paged KV cache of a Hugging Face transformer moves
between them by kvferry, block by block id. Checks that the tokens are those of one process, and measures
the time to first token against recomputing the prefill and against sending the cache with
torch.distributed."""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from options import parse
from table import equal, show

if TYPE_CHECKING:
    from handoff import ByDistributed
    from measure import Requests
    from model import Model


def make_prompts(options: argparse.Namespace, vocabulary: int) -> tuple[list[list[int]], list[list[int]]]:
    """The batch, and the single prompts."""
    chance = random.Random(options.seed)

    def prompt(tokens: int) -> list[int]:
        return [chance.randrange(vocabulary) for _ in range(tokens)]

    batch = [prompt(chance.randint(options.least, options.most)) for _ in range(options.prompts)]
    return batch, [prompt(tokens) for tokens in options.singles]


def blocks_for(options: argparse.Namespace, prompts: list[list[int]]) -> int:
    """Of one batch while it is decoded, and a quarter more, so that free blocks lie scattered."""
    size: int = options.block_tokens
    new: int = options.new_tokens
    singles: list[int] = options.singles
    tokens = [len(prompt) + new for prompt in prompts]
    needed = max(sum(-(-count // size) for count in tokens), -(-max(singles, default=1) // size) + 2)
    return needed + needed // 4 + 1


@contextlib.contextmanager
def two_processes(options: argparse.Namespace, blocks: int) -> Iterator[tuple[Model, Requests, str]]:
    """The model here, the other one in a process of its own, and that one's address."""
    import torch

    import prefill_process
    from measure import Requests
    from model import Model

    threads = max(1, (os.cpu_count() or 2) // 2)
    torch.set_num_threads(threads)
    common = {
        "name": options.model,
        "dtype": getattr(torch, options.dtype),
        "blocks": blocks,
        "block_tokens": options.block_tokens,
        "seed": options.seed,
    }
    theirs = common | {"device": options.devices[0], "pool_seed": options.seed + 1}
    spawn = multiprocessing.get_context("spawn")
    pipe, other_end = spawn.Pipe()
    process = spawn.Process(target=prefill_process.run, args=(other_end, theirs, threads), daemon=True)
    process.start()
    other_end.close()
    requests = Requests(pipe)
    try:
        model = Model(**common, device=options.devices[1], pool_seed=options.seed + 2)
        address, checksum = pipe.recv()
        if checksum != model.checksum():
            raise SystemExit("the two processes made different weights: are their GPUs of one kind?")
        yield model, requests, address
        requests.stop()
        process.join(10)
    except (EOFError, ConnectionError):
        raise SystemExit("the prefill process ended early; its error is above") from None
    finally:
        process.kill()
        process.join()


def machine(options: argparse.Namespace) -> dict[str, Any]:
    import torch
    import transformers

    import kvferry

    names = [torch.cuda.get_device_name(d) if d != "cpu" else platform.processor() or "CPU" for d in options.devices]
    return {
        "kvferry": kvferry.__version__, "torch": torch.__version__, "transformers": transformers.__version__,
        "python": platform.python_version(), "prefill": [options.devices[0], names[0]],
        "decode": [options.devices[1], names[1]],
    }  # fmt: skip


def run(options: argparse.Namespace) -> dict[str, Any]:
    import measure
    from handoff import ByKvferry
    from model import config_of, describe

    batch, singles = make_prompts(options, config_of(options.model).vocab_size)
    results: dict[str, Any] = {"schema": 1, "command": sys.argv[1:], "machine": machine(options)}
    results["model"] = {"name": options.model, "dtype": options.dtype, **describe(options.model)}
    with contextlib.ExitStack() as stack:
        model, requests, address = stack.enter_context(two_processes(options, blocks_for(options, batch)))
        by_kvferry = stack.enter_context(contextlib.closing(ByKvferry(model, address)))
        results["tokens"] = measure.same_tokens(model, requests, by_kvferry, batch, options.new_tokens)
        ways: list[measure.Way] = [by_kvferry, *distributed(options, model, requests, stack, results)]
        results["cases"] = []
        for prompts in [*([prompt] for prompt in singles), batch]:
            times = measure.time_to_first_token(model, requests, ways, prompts, options.repetitions)
            report = by_kvferry.report
            results["cases"].append(
                {"prompts": len(prompts), "tokens": sum(map(len, prompts)), "blocks": report.blocks,
                 "bytes": report.bytes, "path": report.path, "method": report.method, "ways": times}
            )  # fmt: skip
    return results


def distributed(
    options: argparse.Namespace,
    model: Model,
    requests: Requests,
    stack: contextlib.ExitStack,
    results: dict[str, Any],
) -> Iterator[ByDistributed]:
    """torch.distributed between the two processes, or why there is none."""
    from handoff import ByDistributed

    results["no_distributed"] = None
    if options.no_distributed:
        results["no_distributed"] = "--no-distributed"
    elif model.device.type == "cuda" and options.devices[0] == options.devices[1]:
        results["no_distributed"] = "NCCL needs two GPUs"
    else:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        requests.join(f"{folder}/meet")
        by_distributed = ByDistributed(model, f"{folder}/meet", rank=1)
        stack.callback(by_distributed.close)
        stack.callback(requests.leave)  # before: leaving may wait for the other one
        yield by_distributed


def main() -> int:
    # Before CUDA starts, in both processes: with it cuBLAS sums in the same order each time.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    options = parse()
    results = run(options)
    show(results)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    return 0 if equal(results) else 1


if __name__ == "__main__":
    sys.exit(main())
