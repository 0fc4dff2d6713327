"""The process that prefills. Asked through a pipe, it answers with block ids; the blocks stay."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from typing import Any

import torch

import kvferry
from handoff import ByDistributed, Prefilled, Prompts
from model import Model


def run(requests: Connection, model_options: dict[str, Any], threads: int) -> None:
    torch.set_num_threads(threads)
    model = Model(**model_options)
    with kvferry.Node(name="prefill") as node:
        node.add(model.pool)
        node.listen(port=0)
        requests.send((node.address, model.checksum()))
        distributed: ByDistributed | None = None
        held: Prefilled | None = None
        while True:
            what, *details = requests.recv()
            if what == "prefill":
                prompts, send = details
                held = _prefill(model, prompts)
                requests.send(held)
                if send and distributed:
                    distributed.send(held)
            elif what == "digest" and held:
                requests.send(model.digest(held.sequences))
            elif what == "release" and held:
                model.release(held.sequences)
            elif what == "join":
                distributed = ByDistributed(model, details[0], rank=0)
            elif what == "leave" and distributed:
                distributed.close()
            elif what == "stop":
                break


def _prefill(model: Model, prompts: Prompts) -> Prefilled:
    began = time.perf_counter()
    sequences, firsts = model.prefill(prompts)
    model.synchronize()  # before the ids are handed out: a pull reads what is visible
    return Prefilled(sequences, firsts, time.perf_counter() - began)
