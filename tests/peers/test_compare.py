"""bench/peers: who is compared, how, and what becomes of it. KVFERRY_PEERS names the folder with the drivers."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

PEERS = pathlib.Path(__file__).resolve().parents[2] / "bench" / "peers"
DRIVERS = os.environ.get("KVFERRY_PEERS", "")
sys.path.insert(0, str(PEERS))

import contestants  # noqa: E402
import match  # noqa: E402
import report  # noqa: E402
from cases import gpu_cases, host_cases, network_cases  # noqa: E402

SHORT = ["--rounds", "10", "--round-limit-s", "0.01", "--pool-gib", "0.2"]


def compare(*args):
    return subprocess.run(
        [sys.executable, str(PEERS / "compare.py"), *args],
        capture_output=True,
        text=True,
        timeout=200,
        stdin=subprocess.DEVNULL,
    )


def compared(tmp_path, *args):
    if not DRIVERS:
        pytest.skip("KVFERRY_PEERS does not name the drivers")
    out = tmp_path / "result.json"
    result = compare("--drivers", DRIVERS, "--json", str(out), *SHORT, *args)
    assert result.returncode == 0, result.stderr
    return json.loads(out.read_text()), result.stdout


def test_names_are_their_own():
    for everybody in (contestants.ALL, contestants.NETWORK):
        keys = [c.key for c in everybody]
        assert len(set(keys)) == len(keys)
        assert all(not c.against or c.against in keys for c in everybody)
    cases = [case.key for case in [*gpu_cases(), *host_cases(), *network_cases(2), *network_cases(0)]]
    assert len(set(cases)) == len(cases)


def test_over_tcp_one_gpu_does():
    assert {(c.place.owner, c.place.starter) for c in network_cases(1)} == {(0, 0)}
    assert {(c.place.owner, c.place.starter) for c in network_cases(2)} == {(1, 0)}
    assert {(c.place.owner, c.place.starter) for c in network_cases(0)} == {(-1, -1)}


def test_who_has_no_part_says_why():
    by_key = {c.key: c for c in [*contestants.ALL, *contestants.NETWORK]}
    assert by_key["mooncake-nvlink"].why_not("host", 64) == "for GPU memory only"
    assert by_key["kvferry-8"].why_not("host", 2) == "needs 8 cores, here are 2"
    assert by_key["kvferry-8"].why_not("cuda", 8) is None


def test_over_tcp_beside_plain_sockets(tmp_path):
    wanted = "kvferry-1,sockets-1,kvferry-2,sockets-2"
    result, table = compared(tmp_path, "--network", "--host", "--contestants", wanted, "--only", "pull,push,2.5MiB")
    assert result["network"] == "tcp"
    for case in result["cases"]:
        rows = case["results"]
        assert all(row["verified"] for row in rows.values()), rows
        for streams in ("1", "2"):
            words = streams + (" tcp streams" if streams == "2" else " tcp stream")
            assert words in rows[f"kvferry-{streams}"]["method"]
            assert rows[f"sockets-{streams}"]["compared_with"] == f"kvferry-{streams}"
            assert rows[f"sockets-{streams}"]["kvferry_faster"]["rounds"] == 10
            assert "kvferry_faster" not in rows[f"kvferry-{streams}"]
    assert "plain sockets, contiguous, host memory, 2 streams" in table
    assert "compared with kvferry by as many streams" in table


def test_in_host_memory_as_before(tmp_path):
    result, table = compared(tmp_path, "--host", "--contestants", "kvferry,memcpy", "--only", "host-pull")
    (case,) = result["cases"]
    assert case["results"]["memcpy"]["compared_with"] == "kvferry"
    assert "host_shm" in case["results"]["kvferry"]["method"]
    assert "plain sockets" not in table


def test_results_of_before_there_was_a_network_still_print():
    for path in sorted((PEERS.parents[1] / "docs" / "results").glob("peers-*.json")):
        assert "| work | contestant |" in report.markdown(json.loads(path.read_text()))


@pytest.mark.parametrize(
    "args, says",
    [
        (["--network", "--contestants", "memcpy"], "kvferry-1"),
        (["--contestants", "sockets-1"], "memcpy"),
        (["--network", "--host", "--only", "nvlink"], "--list"),
        (["--rounds", "3"], "at least"),
    ],
)
def test_mistakes(args, says):
    result = compare(*args)
    assert result.returncode == 2
    assert says in result.stderr


def test_one_that_fell_out_has_no_figures():
    everybody = [(c, None) for c in contestants.NETWORK if c.key in ("kvferry-1", "sockets-1", "nixl-tcp")]
    game = match.Match.__new__(match.Match)
    game.entrants, game.reasons = everybody, {"kvferry-1": "it fell"}
    case = network_cases(0)[0]
    results = {c.key: {"rounds": [[0.1]] * 10, "verified": True} for c, _ in everybody}
    summaries = game._summaries(case, results)
    assert summaries["kvferry-1"]["reason"] == "it fell"
    assert "median_s" not in summaries["kvferry-1"]
    assert "kvferry_faster" not in summaries["sockets-1"]
    assert summaries["nixl-tcp"]["gb_per_s"] == pytest.approx(case.bytes / 1e8)
