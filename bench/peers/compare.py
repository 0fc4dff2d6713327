#!/usr/bin/env python3
"""kvferry side by side with NIXL, Mooncake and copies written by hand. `--help` says more; so does docs/peers.md."""

import argparse
import os
import shlex
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import contestants as entrants  # noqa: E402
import libraries  # noqa: E402
import machine  # noqa: E402
import report  # noqa: E402
from cases import gpu_cases, host_cases, network_cases  # noqa: E402
from figures import MIN_ROUNDS  # noqa: E402
from match import Match  # noqa: E402

EPILOG = """\
examples:
  compare.py --host --site ~/.cache/kvferry-peers/site      host memory only: needs no GPU
  compare.py --host --network                               over TCP between host pools: needs no GPU either
  compare.py --only nvlink-pull --contestants kvferry,nixl  one case, two contestants
  compare.py --publish peers-h200x2.json                    results of another machine into the documents

exit codes: 0 all contestants that can run here ran and every byte was right; 1 one failed; 2 mistake in the
command line; 3 a contestant moved wrong bytes; 77 nothing could be compared here
"""


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog=os.environ.get("PEERS_PROGRAM", "compare.py"),
        description="Times kvferry, NIXL, Mooncake and copies written by hand on the same work, in interleaved "
        "rounds of one run, each contestant being two processes whose bytes are compared on both sides.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what is compared")
    what.add_argument("--host", action="store_true", help="host memory instead of GPU memory")
    what.add_argument(
        "--network",
        action="store_true",
        help="over TCP alone, beside plain sockets: kvferry by 1, 2 and 8 streams, NIXL with UCX_TLS=tcp, "
        "Mooncake's tcp",
    )
    what.add_argument(
        "--only",
        metavar="TEXT",
        default="",
        help="cases whose name contains TEXT; several by commas (default: all)",
    )
    what.add_argument(
        "--contestants",
        metavar="A,B",
        default="",
        help="of "
        + ",".join(c.key for c in entrants.ALL)
        + "; with --network of "
        + ",".join(c.key for c in entrants.NETWORK),
    )
    what.add_argument("--list", action="store_true", help="name the cases and contestants, and end")
    how = parser.add_argument_group("how")
    how.add_argument("--rounds", type=int, default=15, help=f"rounds, at least {MIN_ROUNDS} (default: 15)")
    how.add_argument(
        "--round-limit-s",
        type=float,
        default=0.4,
        metavar="S",
        help="a slow contestant stops after so long in a round, but does one transfer (default: 0.4)",
    )
    how.add_argument(
        "--pool-gib",
        type=float,
        metavar="GIB",
        help="size of each pool (default: 4 on GPUs, with --network 1; 0.5 on the host)",
    )
    how.add_argument("--seed", type=int, default=1, help="of the order of turns (default: 1)")
    how.add_argument(
        "--freeze",
        choices=("auto", "always", "never"),
        default="auto",
        help="stop the processes of those whose turn it is not; auto: where there are fewer cores than their "
        "threads would keep busy (default: auto)",
    )
    where = parser.add_argument_group("where things are")
    where.add_argument(
        "--drivers",
        type=Path,
        metavar="DIR",
        default=HERE.parent.parent / "build/release/bench/peers",
        help="the built drivers (default: build/release/bench/peers)",
    )
    where.add_argument(
        "--site",
        type=Path,
        metavar="DIR",
        help="folder with the unpacked wheels of NIXL and Mooncake (default: what Python finds by itself)",
    )
    where.add_argument("--python", default=sys.executable, help="runs the wheels (default: this Python)")
    where.add_argument(
        "--logs", type=Path, metavar="DIR", help="keeps what the drivers say (default: thrown away)"
    )
    out = parser.add_argument_group("results")
    out.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    out.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    out.add_argument(
        "--publish",
        nargs="?",
        const="",
        metavar="FILE",
        help="write docs/results/peers-*.json and the table in docs/performance.md: of this run, or of FILE from "
        "another",
    )
    options = parser.parse_args(arguments)
    if options.rounds < MIN_ROUNDS:
        parser.error(f"--rounds {options.rounds}: at least {MIN_ROUNDS}, or the interval says little")
    known = {c.key for c in entrants.those_of(options.network)}
    wanted = [key for key in options.contestants.split(",") if key]
    if unknown := [key for key in wanted if key not in known]:
        parser.error(f"--contestants {','.join(unknown)}: choose from {', '.join(sorted(known))}")
    texts = [text for text in options.only.split(",") if text]
    if options.network:
        options.cases = network_cases(0 if options.host else max(1, len(machine.gpus())))
    else:
        options.cases = host_cases() if options.host else gpu_cases()
    if texts:
        options.cases = [case for case in options.cases if any(text in case.key for text in texts)]
    if not options.cases:
        parser.error(f"--only {options.only}: no case has that in its name; --list names them")
    if options.pool_gib is None:
        options.pool_gib = 0.5 if options.host else 1.0 if options.network else 4.0
    return options


def as_typed(arguments):
    """The command for the record, without where things lay on that machine."""
    kept, skip = [], False
    for argument in arguments:
        place = argument in ("--drivers", "--site", "--python", "--logs", "--json", "--markdown")
        if not skip and not place:
            kept.append(argument)
        skip = place
    return shlex.join([os.environ.get("PEERS_PROGRAM", "compare.py"), *kept])


def starter_of(contestant, options):
    """start(log path) -> a running driver of this contestant."""
    from driver_process import Driver

    environment = {k: v for k, v in os.environ.items() if k not in entrants.OWN_VARIABLES}
    environment.update(contestant.environment)
    if not options.host:
        environment.update(contestant.gpu_environment)
    if contestant.driver.endswith(".py"):
        # -B: a folder that was unpacked by another user stays as it is.
        arguments = [options.python, "-B", str(HERE / contestant.driver)]
        paths = [str(options.site)] if options.site else []
        environment["PYTHONPATH"] = os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]).strip(
            os.pathsep
        )
        if options.site and contestant.driver.startswith("mooncake"):
            found = [os.environ.get("LD_LIBRARY_PATH", ""), *options.libraries]
            environment["LD_LIBRARY_PATH"] = os.pathsep.join(found).strip(os.pathsep)
    else:
        arguments = [str(options.drivers / f"peers_{contestant.driver}")]
    return lambda log: Driver(arguments, environment, log)


def why_no_case(case, gpu_count):
    place = case.place
    needed = max(place.owner, place.starter) + 1
    return f"needs {needed} GPUs, here are {gpu_count}" if needed > gpu_count else None


def freezing(options, count):
    if options.freeze == "auto":
        return (os.cpu_count() or 1) < 3 * count
    return options.freeze == "always"


def compare(options, say):
    memory = "host" if options.host else "cuda"
    result = {
        "schema": report.SCHEMA,
        "command": as_typed(sys.argv[1:]),
        "date": machine.now(),
        "commit": machine.commit(HERE.parent.parent),
        "memory": memory,
        "network": "tcp" if options.network else None,
        "rounds": options.rounds,
        "pool_gib": options.pool_gib,
        "seed": options.seed,
        "machine": machine.describe(),
        "contestants": {},
        "cases": [],
    }
    everybody = entrants.those_of(options.network)
    chosen = [c for c in everybody if not options.contestants or c.key in options.contestants.split(",")]
    excused = {c.key: c.why_not(memory, os.cpu_count() or 1) for c in chosen}
    result["excused"] = {key: reason for key, reason in excused.items() if reason}
    for contestant in chosen:
        result["contestants"][contestant.key] = {"label": contestant.label}
    able = [c for c in chosen if not excused[c.key]]
    options.freeze = freezing(options, len(able))
    result["frozen_between_turns"] = options.freeze
    cases = list(options.cases)
    gpu_count = len(result["machine"]["gpus"])
    for case in list(cases):
        if reason := why_no_case(case, gpu_count):
            say(f"{case.key}: not run: {reason}")
            result["cases"].append(
                {"key": case.key, "title": case.title, "bytes": case.bytes, "reason": reason}
            )
            cases.remove(case)
    number = 0
    for place in dict.fromkeys(case.place for case in cases):
        say(f"{place.key}: starting {len(able)} contestants")
        with Match(place, [(c, starter_of(c, options)) for c in able], options) as match:
            for case in [case for case in cases if case.place == place]:
                number += 1
                results = match.play(case, number, say)
                for contestant in chosen:
                    if reason := excused[contestant.key]:
                        results[contestant.key] = {"reason": reason}
                ordered = {c.key: results[c.key] for c in chosen}
                row = {
                    "key": case.key,
                    "title": case.title,
                    "bytes": case.bytes,
                    "blocks": match.blocks,
                    "results": ordered,
                }
                result["cases"].append(row)
                summary(case, ordered, say)
            for key, about in match.about.items():
                result["contestants"][key].update(about)
    return result


def summary(case, results, say):
    for key, figures in results.items():
        if "reason" in figures:
            say(f"  {key:<16} not run: {figures['reason']}")
            continue
        ratio = figures.get("kvferry_faster")
        times = f"  kvferry is {ratio['median']:.2f}x as fast" if ratio else ""
        median, p99 = figures["median_s"] * 1e3, figures["p99_s"] * 1e3
        say(f"  {key:<16} {median:9.3f} ms (p99 {p99:9.3f})  {figures['gb_per_s']:8.2f} GB/s{times}")


def measured(result):
    """The rows that have figures."""
    rows = [row for case in result["cases"] for row in case.get("results", {}).values()]
    return [row for row in rows if "median_s" in row]


def verdict(result):
    """The exit code."""
    rows = [row for case in result["cases"] for row in case.get("results", {}).values()]
    if not measured(result):
        return 77
    if any("WRONG BYTES" in row.get("reason", "") for row in rows):
        return 3
    excused = set(result["excused"].values())
    return 1 if any("reason" in row and row["reason"] not in excused for row in rows) else 0


def publish(result):
    import json

    if isinstance(result, (str, Path)):
        result = json.loads(Path(result).read_text())
    if not measured(result):
        raise SystemExit("nothing was measured: nothing is published")
    docs = HERE.parent.parent / "docs"
    prefix = "tcp-" if result.get("network") else ""
    name = docs / "results" / f"peers-{prefix}{machine.slug(result['machine'], result['memory'])}.json"
    report.write_json(result, name)
    kind = prefix + ("host" if result["memory"] == "host" else "gpu")
    table = report.markdown(result) + f"\nRaw: [results/{name.name}](results/{name.name}).\n"
    report.publish(table, kind, docs / "performance.md")
    print(f"{name} and docs/performance.md are written")


def main():
    options = parse(sys.argv[1:])
    if options.publish:
        publish(options.publish)
        return 0
    if options.list:
        cases = [*gpu_cases(), *host_cases()]
        if options.network:
            cases = [*network_cases(1), *network_cases(0)]
        print("cases:", *[f"  {c.key:<18} {c.title}" for c in cases], sep="\n")
        everybody = entrants.those_of(options.network)
        print("contestants:", *[f"  {c.key:<18} {c.label}" for c in everybody], sep="\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="kvferry-peers-") as scratch:
        options.logs = options.logs or Path(scratch)
        options.logs.mkdir(parents=True, exist_ok=True)
        if options.site:
            options.site = options.site.resolve()
            options.libraries = libraries.search_path(options.site, Path(scratch) / "lib")
        result = compare(options, lambda text: print(text, file=sys.stderr, flush=True))
    print(report.markdown(result), end="")
    if options.json:
        report.write_json(result, options.json)
    if options.markdown:
        options.markdown.write_text(report.markdown(result))
    if options.publish == "":
        publish(result)
    return verdict(result)


if __name__ == "__main__":
    sys.exit(main())
