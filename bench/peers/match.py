"""Sets contestants side by side at one place: starts them, verifies them, and times them in turn."""

import random
import signal
import statistics
from itertools import chain
from pathlib import Path

from cases import LAYERS
from driver_process import DriverError, Pair
from figures import ratio_of_rounds, summarize

SETUP_TIMEOUT_S = 180  # many processes that start CUDA at once on a fresh machine take a while
COMMAND_TIMEOUT_S = 60
WITNESSES = 16  # blocks that a transfer must leave alone, looked at in every layer


class Match:
    def __init__(self, place, entrants, settings):
        """`entrants`: (contestant, start) pairs; start(role, log path) starts a driver."""
        self.place, self.entrants, self.settings = place, entrants, settings
        self.blocks = int(settings.pool_gib * 2**30) // place.block_bytes // LAYERS
        self.pairs, self.reasons, self.about, self.hopeless = {}, {}, {}, set()
        self.random = random.Random(settings.seed)

    def __enter__(self):
        self._start([contestant for contestant, _ in self.entrants])
        return self

    def __exit__(self, *_):
        # Leaving a GPU takes each a while: all at once.
        for pair in self.pairs.values():
            pair.ask_to_end()
        for pair in self.pairs.values():
            pair.end()

    def _start(self, contestants):
        """All at once, since most of it is waiting: each step is sent to everybody before anybody is waited for."""
        for step in (self._spawn, self._take_setup, self._send_connect, self._take_connect):
            for contestant in contestants:
                self._try(contestant.key, step, contestant)
        for contestant in contestants:
            if contestant.key in self.reasons:
                self.hopeless.add(contestant.key)
            else:
                self._rest(contestant.key)

    def _spawn(self, contestant):
        start = dict((c.key, s) for c, s in self.entrants)[contestant.key]
        log = Path(self.settings.logs) / f"{self.place.key}-{contestant.key}"
        pair = self.pairs[contestant.key] = Pair(lambda role: start(f"{log}-{role}.log"))
        for role, device in (("owner", self.place.owner), ("starter", self.place.starter)):
            pair.side(role).send(
                {
                    "cmd": "setup",
                    # Plain sockets are of host memory, whatever the others move.
                    "device": -1 if contestant.contiguous else device,
                    "layers": LAYERS,
                    "blocks": self.blocks,
                    "block_bytes": self.place.block_bytes,
                    "options": {**contestant.options, "role": role},
                }
            )

    def _take_setup(self, contestant):
        pair = self.pairs[contestant.key]
        pair.address = pair.owner.answer("setup", SETUP_TIMEOUT_S)["address"]
        self.about[contestant.key] = pair.starter.answer("setup", SETUP_TIMEOUT_S)["settings"]

    def _send_connect(self, contestant):
        pair = self.pairs[contestant.key]
        pair.starter.send({"cmd": "connect", "address": pair.address})

    def _take_connect(self, contestant):
        self.pairs[contestant.key].starter.answer("connect", SETUP_TIMEOUT_S)

    def _try(self, key, work, *arguments):
        """Does `work` for a contestant that is still in; its failure is a reason, not an end."""
        if key in self.reasons:
            return
        try:
            work(*arguments)
        except (DriverError, OSError) as error:
            self.reasons[key] = str(error)
            if key in self.pairs:
                self.pairs.pop(key).end()

    def _turn(self, key, work, *arguments):
        """The same for one whose turn it is: the others rest meanwhile."""
        if key in self.pairs and self.settings.freeze:
            self.pairs[key].signal(signal.SIGCONT)
        self._try(key, work, *arguments)
        self._rest(key)

    def _rest(self, key):
        if key in self.pairs and self.settings.freeze:
            self.pairs[key].signal(signal.SIGSTOP)

    def _restart_fallen(self):
        """Who failed in another case may well do this one; who could not even start will not."""
        fallen = [c for c, _ in self.entrants if c.key in self.reasons and c.key not in self.hopeless]
        for contestant in fallen:
            del self.reasons[contestant.key]
        self._start(fallen)

    def play(self, case, number, report):
        """The results of one case, by contestant."""
        ids = {c.key: self._ids(case, c) for c, _ in self.entrants}
        results = {c.key: {"rounds": [], "verified": False} for c, _ in self.entrants}
        self._restart_fallen()
        for key in results:
            report(f"{case.key}: verifying and warming up {key}")
            self._turn(key, self._prepare, key, case, *ids[key], number, results[key])
        plan = self._transfers(case)
        for i in range(self.settings.rounds):
            order = [key for key in results if key not in self.reasons]
            if not order:
                break
            report(f"{case.key}: round {i + 1} of {self.settings.rounds}")
            self.random.shuffle(order)
            for key in order:
                self._turn(key, self._round, key, plan, results[key])
        for key in results:
            self._turn(key, self._verify, key, case, *ids[key], number + 1000, results[key])
        return self._summaries(case, results)

    def _ids(self, case, contestant):
        """(remote, local): for whoever moves the first blocks alone, those."""
        first = list(range(case.count))
        return (first, first) if contestant.contiguous else case.ids(self.blocks)

    def _transfers(self, case):
        # Enough of the short ones for a p99; of slow ones as many as the time allows.
        return {"transfers": 40 if case.latency else 5, "limit_s": self.settings.round_limit_s}

    def _prepare(self, key, case, remote, local, number, result):
        pair = self.pairs[key]
        work = {"cmd": "case", "direction": case.direction, "local": local, "remote": remote}
        answer = pair.ask(pair.starter, COMMAND_TIMEOUT_S, **work)
        if "making_s" in answer:
            result["making_s"] = answer["making_s"]
        self._verify(key, case, remote, local, number, result)
        warm_up = {"transfers": 20 if case.latency else 3, "limit_s": self.settings.round_limit_s}
        pair.ask(pair.starter, COMMAND_TIMEOUT_S, cmd="round", **warm_up)

    def _verify(self, key, case, remote, local, seed, result):
        """One transfer of fresh contents into a cleared pool; every moved byte of both sides is compared."""
        result["verified"] = False
        pair, pull = self.pairs[key], case.direction == "pull"
        source, target = (pair.owner, pair.starter) if pull else (pair.starter, pair.owner)
        source_ids, target_ids = (remote, local) if pull else (local, remote)
        pair.ask(target, COMMAND_TIMEOUT_S, cmd="clear")
        pair.ask(source, COMMAND_TIMEOUT_S, cmd="write", ids=source_ids, seed=seed)
        pair.ask(pair.starter, COMMAND_TIMEOUT_S, cmd="round", transfers=1, limit_s=0)
        others = sorted(set(range(self.blocks)) - set(target_ids))
        witnesses = random.Random(seed).sample(others, min(WITNESSES, len(others)))
        checks = ((target, target_ids, witnesses), (source, source_ids, []))
        for side, ids, untouched in checks:
            question = {"ids": ids, "as": source_ids, "seed": seed, "untouched": untouched}
            wrong = pair.ask(side, COMMAND_TIMEOUT_S, cmd="check", **question)["wrong_bytes"]
            if wrong:
                which = "target" if side is target else "source"
                raise DriverError(f"WRONG BYTES: {wrong} of the {which}'s")
        result["verified"] = True

    def _round(self, key, plan, result):
        pair = self.pairs[key]
        answer = pair.ask(pair.starter, COMMAND_TIMEOUT_S, cmd="round", **plan)
        result["rounds"].append(answer["seconds"])
        result["method"] = answer["method"]

    def _summaries(self, case, results):
        # A contestant that fell out half way has no figures: its rounds are not those of the others.
        ours = {
            c.key: results[c.key]["rounds"]
            for c, _ in self.entrants
            if c.ours and c.key not in self.reasons
        }
        fastest = min(ours, key=lambda key: statistics.median(chain.from_iterable(ours[key])), default=None)
        rivals = {c.key: c.against if c.against in ours else fastest for c, _ in self.entrants}
        for key, result in results.items():
            if key in self.reasons:
                result.update(reason=self.reasons[key], verified=False)
                continue
            result.update(summarize(result["rounds"], case.bytes))
            if key not in ours and rivals[key] is not None:
                result["compared_with"] = rivals[key]
                result["kvferry_faster"] = ratio_of_rounds(ours[rivals[key]], result["rounds"])
            result["round_medians_s"] = [statistics.median(one) for one in result["rounds"]]
        for result in results.values():
            result.pop("rounds", None)
        return results
