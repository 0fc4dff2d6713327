"""--json: one document, the same facts as the text."""

import json
import os
import pathlib
import re

import pytest
from conftest import SMALL, kvferry

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "json.md"


def keys_of(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner)


def test_a_pulls_report(start, tmp_path):
    out = tmp_path / "out.json"
    result = start.server(*SMALL, "--fill", "indexed").pull(
        *SMALL, "--input-tokens", "64", "--count", "3", "--layer-range", "1:3", "--json", str(out)
    )
    assert result.returncode == 0, result.stderr
    assert "verified" in result.stdout
    report = json.loads(out.read_text())
    assert report["schema"] == 1
    assert report["command"] == "pull"
    assert report["geometry"]["block_bytes"] == 512
    assert report["geometry"]["blocks"] == 5242
    assert report["options"]["count"] == 3
    assert report["options"]["layer_range"] == "1:3"
    assert report["device"]["local"] == report["device"]["remote"] == "host"
    assert report["remote"]["tag"] == "fill=indexed"
    assert report["path"] == "host_shm"
    assert report["explain"][0]["chosen"] == "host_shm"
    assert len(report["transfers"]) == 3
    for transfer in report["transfers"]:
        assert transfer["bytes"] == 16 * 2 * 512
        assert transfer["gb_per_s"] == pytest.approx(transfer["bytes"] / transfer["seconds"] / 1e9)
        assert transfer["pieces"] == 2  # neighbours in each of two layers
        assert all(transfer[part] >= 0 for part in ("post_s", "move_s", "sync_s"))
    rates = sorted(transfer["gb_per_s"] for transfer in report["transfers"])
    assert report["summary"]["gb_per_s"] == {"min": rates[0], "median": rates[1], "max": rates[2]}
    verification = report["verification"]
    assert verification["checked"] is True
    assert verification["transfers"] == 3
    assert verification["bytes"] == 3 * 16 * 2 * 512
    assert verification["other_bytes"] == 3 * (5226 * 4 + 16 * 2) * 512
    assert verification["mismatched_bytes"] == verification["other_mismatched_bytes"] == 0
    assert report["exit_code"] == 0
    assert report["error"] is None
    assert [path.name for path in tmp_path.glob("out*")] == ["out.json"]


def test_a_dash_leaves_standard_output_to_the_json(start):
    result = start.server(*SMALL).pull(*SMALL, "--json", "-")
    assert result.returncode == 0
    assert json.loads(result.stdout)["command"] == "pull"
    assert "verified" in result.stderr


def test_a_failed_verification(start, tmp_path):
    server = start.server(*SMALL, "--writable", "--fill", "indexed")
    pushed = server.push(*SMALL, "--blocks", "5", "--json", "-")
    assert json.loads(pushed.stdout)["verification"]["other_blocks"] == 5241
    result = server.pull(*SMALL, "--blocks", "4,5,6", "--into", "9,8,7", "--json", "-")
    assert result.returncode == 1
    report = json.loads(result.stdout)
    assert report["exit_code"] == 1
    assert report["error"]["code"] == "failed"
    assert report["verification"]["mismatched_bytes"] > 0
    assert report["verification"]["first_mismatch"]["where"] == "moved"
    assert report["verification"]["first_mismatch"]["block"] == 8
    assert len(report["transfers"]) == 1
    assert report["summary"] == {"transfers": 0, "gb_per_s": None}
    verification = report["verification"]
    assert verification["checked"] is True
    assert verification["transfers"] == 1
    assert verification["other_blocks"] == 5239
    assert verification["other_bytes"] == 5239 * 4 * 512


@pytest.mark.parametrize(
    "args, code, name",
    [(["--blocks", "x"], 2, "invalid_argument"), (["--socket", "/nonexistent/s"], 3, "unreachable")],
    ids=["usage", "unreachable"],
)
@pytest.mark.parametrize("command", ["pull", "push"])
def test_errors_are_reported_too(command, args, code, name):
    result = kvferry(command, *SMALL, *args, "--json", "-")
    assert result.returncode == code
    report = json.loads(result.stdout)
    assert report["exit_code"] == code
    assert report["error"]["code"] == name
    assert report["error"]["message"] in result.stderr


def test_where_the_dtype_came_from(start, tmp_path):
    server = start.server(*SMALL)
    config = tmp_path / "config.json"
    fields = {"num_hidden_layers": 4, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    for extra, args, origin, note in (
        ({}, [], "default", "note: dtype: bf16 (the config names none); --dtype sets it"),
        ({"torch_dtype": "float64"}, [], "default", 'names "float64"'),
        ({"torch_dtype": "bfloat16"}, [], "model", None),
        ({}, ["--dtype", "bf16"], "option", None),
    ):
        config.write_text(json.dumps({**fields, **extra}))
        result = kvferry(
            "explain", "--port", server.port, "--device", "host", "--model", str(config), "--block-size", "4",
            *args, "--json", "-",
        )
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["geometry"]["dtype_from"] == origin
        assert (note in result.stderr) if note else ("note:" not in result.stderr)


def test_a_deadlines_code(start):
    result = start.server(*SMALL).pull(*SMALL, "--deadline", "1ns", "--json", "-")
    assert result.returncode == 5
    assert json.loads(result.stdout)["error"]["code"] == "deadline"


def test_explain(start):
    server = start.server(*SMALL)
    result = kvferry("explain", "--port", server.port, *SMALL, "--json", "-")
    assert result.returncode == 0
    report = json.loads(result.stdout)
    assert {v["path"] for v in report["explain"][0]["verdicts"]} >= {"host_shm", "cuda_ipc"}
    assert all(v["reason"] for v in report["explain"][0]["verdicts"])
    assert "transfers" not in report


def test_nothing_is_left_of_a_report_that_could_not_be_written(start, tmp_path):
    if os.geteuid() == 0 and not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    result = start.server(*SMALL).pull(*SMALL, "--json", "/dev/full")
    assert result.returncode == 6
    assert "/dev/full" in result.stderr


def test_every_key_is_documented(start):
    server = start.server(*SMALL, "--writable")
    documented = set(re.findall(r"`([a-z0-9_]+)`", DOCS.read_text()))
    report = json.loads(server.push(*SMALL, "--json", "-").stdout)
    assert set(keys_of(report)) - documented == set()
