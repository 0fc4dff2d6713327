"""bench/peers: the ids, the statistics, the table, and what becomes of contestants that fail or lie."""

import json
import os
import pathlib
import statistics
import subprocess
import sys

import pytest
from conftest import BIN

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = ROOT / "bench" / "peers"
DRIVERS = pathlib.Path(BIN).resolve().parents[2] / "bench" / "peers"
sys.path.insert(0, str(PEERS))

import cases  # noqa: E402
import figures  # noqa: E402
import report  # noqa: E402


def compare(*args, env=None):
    return subprocess.run(
        [sys.executable, str(PEERS / "compare.py"), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **(env or {})},
    )


def test_ids_are_those_of_the_command_line():
    # The same value as in tools/kvferry/ids_test.cpp.
    assert cases.scattered_ids(1, 10, 5) == [8, 7, 4, 0, 2]
    assert sorted(cases.scattered_ids(7, 1000, 1000)) == list(range(1000))
    random = cases.Mt19937_64(5489)
    for _ in range(9999):
        random.next()
    assert random.next() == 9981545732273789042  # the C++ standard's check of mt19937_64


def test_both_sides_of_every_case_have_different_ids():
    for case in [*cases.gpu_cases(), *cases.host_cases()]:
        remote, local = case.ids(1600)
        assert len(set(remote)) == len(set(local)) == case.count
        assert (remote == local) == case.contiguous


def test_median_interval():
    assert figures.median_interval([1, 2, 3, 4, 5]) is None  # 2 / 2^5 is more than 5 %
    assert figures.median_interval([5, 1, 3, 2, 4, 6]) == (1, 6)
    # 11 / 1024 show fewer than two heads of ten, 56 / 1024 fewer than three.
    assert figures.median_interval(list(range(1, 11))) == (2, 9)
    assert figures.median_interval(list(range(1, 16))) == (4, 12)


def test_quantile_is_nearest_rank():
    values = list(range(1, 101))
    assert figures.quantile(values, 0.5) == 50
    assert figures.quantile(values, 0.99) == 99
    assert figures.quantile([7.0], 0.99) == 7.0


def test_ratios_are_paired_by_round():
    ours = [[1.0, 1.0], [2.0]] * 5
    others = [[10.0], [20.0, 20.0]] * 5  # a slow minute slows both
    ratio = figures.ratio_of_rounds(ours, others)
    assert (ratio["median"], ratio["low"], ratio["high"], ratio["rounds"]) == (10, 10, 10, 10)
    with pytest.raises(ValueError):
        figures.ratio_of_rounds(ours, others[1:])


def test_summary():
    summary = figures.summarize([[1.0, 3.0], [2.0]], 4_000_000_000)
    assert summary["median_s"] == statistics.median([1, 2, 3])
    assert summary["gb_per_s"] == 2
    assert summary["median_low_s"] is None


def test_a_table_replaces_only_what_is_between_its_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- peers-gpu:begin -->\nold\n<!-- peers-gpu:end -->\nb\n")
    report.publish("new\n", "gpu", page)
    assert page.read_text() == "a\n<!-- peers-gpu:begin -->\nnew\n<!-- peers-gpu:end -->\nb\n"
    with pytest.raises(ValueError, match="peers-host"):
        report.publish("new\n", "host", page)
    assert "new" in page.read_text()


def test_the_page_has_the_markers():
    text = (ROOT / "docs" / "performance.md").read_text()
    for memory in ("gpu", "host"):
        assert f"<!-- peers-{memory}:begin -->" in text and f"<!-- peers-{memory}:end -->" in text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--rounds", "9"], "at least 10"),
        (["--contestants", "kvferry,nobody"], "nobody"),
        (["--only", "nothing-like-this"], "no case"),
    ],
)
def test_mistakes(args, message):
    result = compare("--host", *args)
    assert result.returncode == 2
    assert message in result.stderr


def test_kvferry_and_memcpy_side_by_side(tmp_path):
    if not (DRIVERS / "peers_kvferry_driver").exists():
        pytest.skip(f"the benchmarks were not built: no {DRIVERS}/peers_kvferry_driver")
    file = tmp_path / "out.json"
    args = ["--host", "--drivers", DRIVERS, "--contestants", "kvferry,memcpy,cuda-loop", "--pool-gib", 0.25]
    result = compare(*args, "--only", "host-push,host-2.5", "--rounds", 10, "--json", file)
    assert result.returncode == 0, result.stderr
    out = json.loads(file.read_text())
    assert [case["key"] for case in out["cases"]] == ["host-push", "host-2.5MiB"]
    for case in out["cases"]:
        rows = case["results"]
        assert rows["kvferry"]["verified"] and rows["memcpy"]["verified"]
        ratio = rows["memcpy"]["kvferry_faster"]
        assert ratio["rounds"] == 10 and ratio["low"] <= ratio["median"] <= ratio["high"]
        assert rows["cuda-loop"] == {"reason": "for GPU memory only"}
    assert "Not in this table: loop of cudaMemcpyAsync (for GPU memory only)." in result.stdout


FAKE = """#!{python}
import json, sys
for line in sys.stdin:
    command = json.loads(line)["cmd"]
    if command == {dies_at!r}:
        sys.exit("no such engine")
    answer = {{"ok": True, "address": "", "settings": {{}}, "seconds": [0.5], "method": "", "wrong_bytes": {wrong}}}
    print(json.dumps(answer), flush=True)
    if command == "close":
        break
"""


def fake_drivers(folder, dies_at="", wrong=0):
    for name, bad in (("kvferry_driver", False), ("host_by_hand", True)):
        driver = folder / f"peers_{name}"
        values = {"dies_at": dies_at if bad else "", "wrong": wrong if bad else 0}
        driver.write_text(FAKE.format(python=sys.executable, **values))
        driver.chmod(0o755)
    file = folder / "out.json"
    args = [
        "--host",
        "--drivers",
        folder,
        "--contestants",
        "kvferry,memcpy",
        "--only",
        "host-pull",
        "--json",
        file,
    ]
    result = compare(*args)
    return result, json.loads(file.read_text())["cases"][0]["results"]


def test_wrong_bytes_are_not_a_result(tmp_path):
    result, rows = fake_drivers(tmp_path, wrong=5)
    assert result.returncode == 3
    assert "WRONG BYTES: 5 of the target's" in rows["memcpy"]["reason"]
    assert "gb_per_s" not in rows["memcpy"]
    assert rows["kvferry"]["verified"]


@pytest.mark.parametrize("dies_at", ["setup", "connect", "case", "round"])
def test_a_contestant_that_dies_is_a_row_with_its_reason(tmp_path, dies_at):
    result, rows = fake_drivers(tmp_path, dies_at=dies_at)
    assert result.returncode == 1
    assert (
        f"{dies_at}: the driver ended with exit code 1; it said: no such engine" in rows["memcpy"]["reason"]
    )
    assert rows["kvferry"]["verified"]
    assert "not run: " in result.stdout


def test_a_driver_that_is_not_there_is_a_row_too(tmp_path):
    result = compare("--host", "--drivers", tmp_path, "--contestants", "kvferry", "--only", "host-pull")
    assert result.returncode == 77
    assert "No such file" in result.stdout


def test_nothing_measured_is_not_published(tmp_path):
    file = tmp_path / "out.json"
    compare("--host", "--drivers", tmp_path, "--contestants", "kvferry", "--json", file)
    before = (ROOT / "docs" / "performance.md").read_text()
    result = compare("--publish", file)
    assert result.returncode == 1
    assert "nothing was measured" in result.stderr
    assert (ROOT / "docs" / "performance.md").read_text() == before
