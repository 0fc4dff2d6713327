"""The examples in Python do what they say, with the kvferry package that this Python has."""

import importlib.util
import json
import pathlib
import re
import signal
import subprocess
import sys

import pytest

pytest.importorskip("kvferry", reason="the kvferry package is not installed in this Python")
EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


def run(*arguments, timeout=300):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("name", ["server.py", "client.py"])
def test_they_are_short(name):
    assert len((EXAMPLES / "python" / name).read_text().splitlines()) <= 25


def test_server_and_client():
    server = subprocess.Popen(
        [sys.executable, EXAMPLES / "python/server.py", "0", "0.25"], stdout=subprocess.PIPE, text=True
    )
    try:
        address = re.fullmatch(r"serving 102 blocks on \S+ at (\S+)\n", server.stdout.readline()).group(1)
        client = run(EXAMPLES / "python/client.py", address, "0.25")
        assert client.returncode == 0, client.stderr
        assert re.fullmatch(r"64 blocks x 40 layers, [\d.]+ GB/s over \w+: all ones\n", client.stdout)
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()


DISAGGREGATED = EXAMPLES / "disaggregated" / "disaggregated.py"
MISSING = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]


def test_disaggregated_says_what_it_needs():
    """--help needs nothing, and what is missing is named."""
    assert run(DISAGGREGATED, "--help").returncode == 0
    if MISSING:
        result = run(DISAGGREGATED)
        assert result.returncode == 2
        assert f"needs {', '.join(MISSING)}" in result.stderr


@pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed in this Python")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_disaggregated_gives_the_same_tokens(tmp_path, dtype):
    results = tmp_path / "results.json"
    sizes = ["--prompts", 32, "--tokens", "3-90", "--single", 33, "--new-tokens", 20, "--repetitions", 1]
    result = run(DISAGGREGATED, "--device", "cpu", *sizes, "--dtype", dtype, "--json", results)
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(results.read_text())
    assert found["tokens"]["same_as_one_process"] == found["tokens"]["prompts"] == 32
    assert found["tokens"]["cache_as_made"]
    assert found["tokens"]["cache_as_in_one_process"]
    assert found["tokens"]["one_process_repeats_itself"] == 32
    assert found["tokens"]["tokens_each"] == 20
    assert found["tokens"]["distinct_tokens"] > 20, "a model that says one word only would agree by chance"
    assert list(found["cases"][1]["ways"]) == [
        "one process",
        "kvferry",
        "torch.distributed (gloo)",
        "recompute",
    ]
    for way in found["cases"][1]["ways"].values():
        parts = [way[part] for part in ("prefill_s", "handoff_s", "cache_s", "step_s")]
        assert sum(parts) == pytest.approx(way["total_s"], rel=1e-3)
