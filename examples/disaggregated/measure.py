"""Time to first token, of requests that were prefilled in the other process, and the tokens they lead to."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

from handoff import ByDistributed, ByKvferry, Prefilled, Prompts
from model import Model
from paged_cache import CachedSequence

Way = ByKvferry | ByDistributed
Sequences = list[CachedSequence]


@dataclass
class Sample:
    """One time to first token, in seconds, and what it consists of."""

    prefill_s: float
    handoff_s: float  # the request to the other process and the answer back
    cache_s: float  # until the cache is here
    step_s: float  # the decode step whose token is the first of this process
    total_s: float


class Requests:
    """The other process, as the decoding one sees it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def prefill(self, prompts: Prompts, send: bool = False) -> Prefilled:
        self._pipe.send(("prefill", prompts, send))
        answer: Prefilled = self._pipe.recv()
        return answer

    def digest(self) -> int:
        """Of the cache of the last prefill, where it was made."""
        self._pipe.send(("digest",))
        answer: int = self._pipe.recv()
        return answer

    def release(self) -> None:
        self._pipe.send(("release",))

    def join(self, init_file: str) -> None:
        self._pipe.send(("join", init_file))

    def leave(self) -> None:
        self._pipe.send(("leave",))

    def stop(self) -> None:
        self._pipe.send(("stop",))


def fetched(model: Model, requests: Requests, prompts: Prompts, way: Way) -> Sample:
    """Prefill there, fetch the cache, one step here."""
    return _moved(model, requests, prompts, way.fetch, send=isinstance(way, ByDistributed))


def recomputed(model: Model, requests: Requests, prompts: Prompts) -> Sample:
    """Prefill there, and once more here."""
    return _moved(model, requests, prompts, lambda theirs: model.prefill(prompts)[0], send=False)


def in_one_process(model: Model, prompts: Prompts) -> Sample:
    """Prefill here: no cache has to move."""
    model.synchronize()
    began = time.perf_counter()
    sequences, firsts = model.prefill(prompts)
    prefilled = time.perf_counter()
    model.step(sequences, firsts)
    ended = time.perf_counter()
    model.release(sequences)
    return Sample(prefilled - began, 0.0, 0.0, ended - prefilled, ended - began)


def _moved(
    model: Model, requests: Requests, prompts: Prompts, cache_of: Callable[[Prefilled], Sequences], send: bool
) -> Sample:
    model.synchronize()
    began = time.perf_counter()
    theirs = requests.prefill(prompts, send)
    answered = time.perf_counter()
    ours = cache_of(theirs)
    model.synchronize()
    here = time.perf_counter()
    model.step(ours, theirs.firsts)  # brings the tokens to the host: the GPU is done
    ended = time.perf_counter()
    model.release(ours)
    requests.release()
    handoff = answered - began - theirs.seconds
    return Sample(theirs.seconds, handoff, here - answered, ended - here, ended - began)


def summary(samples: list[Sample]) -> dict[str, Any]:
    """Medians of each part, and the quartiles of the whole."""
    fields = asdict(samples[0])
    medians = {field: statistics.median(getattr(s, field) for s in samples) for field in fields}
    totals = sorted(s.total_s for s in samples)
    low, _, high = statistics.quantiles(totals, n=4) if len(totals) > 1 else (totals[0],) * 3
    share = statistics.median(s.cache_s / s.total_s for s in samples)
    return {**medians, "total_quartiles_s": [low, high], "cache_share": share, "samples": len(samples)}


def time_to_first_token(
    model: Model,
    requests: Requests,
    ways: Sequence[Way],
    prompts: Prompts,
    repetitions: int,
    warm_up: int = 2,
) -> dict[str, dict[str, Any]]:
    """Every way in turn, so that a busy machine slows each."""
    samples: dict[str, list[Sample]] = {}
    for repetition in range(warm_up + repetitions):
        taken = {"one process": in_one_process(model, prompts)}
        taken |= {way.name: fetched(model, requests, prompts, way) for way in ways}
        taken["recompute"] = recomputed(model, requests, prompts)
        if repetition >= warm_up:
            for name, sample in taken.items():
                samples.setdefault(name, []).append(sample)
    return {name: summary(of_way) for name, of_way in samples.items()}


def same_tokens(model: Model, requests: Requests, way: ByKvferry, prompts: Prompts, count: int) -> dict[str, Any]:
    """Whether the cache that was pulled is the one that was made, to the bit; and greedy tokens of prompts
    prefilled there and decoded here, of the same in one process, twice, and with transformers' own cache, one
    prompt at a time. The first two do the same sums and agree to the bit where the libraries repeat themselves;
    the last adds in another order, so that in 16-bit numbers two nearly equal logits may change places."""
    theirs = requests.prefill(prompts)
    ours = way.fetch(theirs)
    made = requests.digest()
    arrived = model.digest(ours)
    pulled = model.decode(ours, theirs.firsts, count)
    model.release(ours)
    requests.release()
    alone = [_in_one_process(model, prompts, count) for _ in range(2)]
    reference = [model.decode_alone(prompt, count) for prompt in prompts]
    return {
        "prompts": len(prompts),
        "tokens_each": count,
        "cache_as_made": made == arrived,
        "cache_as_in_one_process": made == alone[0][0],
        "one_process_repeats_itself": _agreeing(alone[0][1], alone[1][1]),
        "same_as_one_process": _agreeing(pulled, alone[0][1]),
        "same_as_transformers_cache": _agreeing(pulled, reference),
        "distinct_tokens": len({token for row in pulled for token in row}),
        "blocks": len(theirs.blocks()),
    }


def _in_one_process(model: Model, prompts: Prompts, count: int) -> tuple[int, list[list[int]]]:
    """The digest of the prefilled cache, and the tokens."""
    sequences, firsts = model.prefill(prompts)
    digest = model.digest(sequences)
    tokens = model.decode(sequences, firsts, count)
    model.release(sequences)
    return digest, tokens


def _agreeing(some: list[list[int]], others: list[list[int]]) -> int:
    return sum(a == b for a, b in zip(some, others, strict=True))
