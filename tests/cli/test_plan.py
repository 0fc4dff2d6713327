"""kvferry plan: arithmetic only, so everything about it is known in advance."""

import json
import pathlib

import pytest
from conftest import kvferry

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "fuzz" / "corpus" / "model_config"
LLAMA = str(CONFIGS / "llama31.json")
DEEPSEEK = str(CONFIGS / "deep_seek_v3.json")
GOOD = [
    "deep_seek_v2_lite",
    "deep_seek_v3",
    "gemma3_large",
    "gemma3_small",
    "gpt_oss",
    "llama1",
    "llama31",
    "mistral_small31",
    "mixtral",
    "qwen25",
    "qwen3_moe",
    "qwen3_small",
]


def plan(*args):
    result = kvferry("plan", *args, "--json", "-")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def usage_error(*args):
    result = kvferry("plan", *args)
    assert result.returncode == 2, result
    assert result.stdout == ""
    return result.stderr


def test_llama_by_hand():
    found = plan("--model", LLAMA, "--tokens", "1024,1000", "--link", "nvlink,25gbe")
    geometry = found["geometry"]
    assert (geometry["layers"], geometry["block_bytes"], geometry["token_bytes"]) == (32, 65536, 131072)
    assert (geometry["blocks"], geometry["dtype_from"]) == (2048, "model")
    first, second = found["requests"]
    assert (first["blocks"], first["pieces"], first["bytes"], first["at_once"]) == (64, 2048, 2**27, 32)
    assert (second["blocks"], second["pieces"]) == (63, 2016)
    nvlink, ethernet = first["transfers"]
    assert nvlink["seconds"] == pytest.approx(11.8e-6 + 2**27 / 370e9)
    assert nvlink["copy_per_piece_seconds"] == pytest.approx(11.8e-6 + 2048 * 3.6e-6)
    assert ethernet["copy_per_piece_seconds"] is None


def test_every_time_follows_from_the_constants_that_are_shown():
    found = plan("--model", DEEPSEEK, "--link", "all", "--tokens", "1,1024,131072")
    links = {link["link"]: link for link in found["links"]}
    assert len(links) == len(found["links"]) == 16
    for variant in [found, *found["block_sizes"], *found["tensor_parallel"]]:
        for request in variant["requests"]:
            for transfer in request["transfers"]:
                link = links[transfer["link"]]
                moving = request["bytes"] / link["gb_per_s"] / 1e9
                assert transfer["seconds"] == pytest.approx(link["start_s"] + moving)
                shared = link["start_s"] + moving * variant.get("ranks", 1)
                assert transfer["shared_link_seconds"] == pytest.approx(shared)
                if link["post_s"] is not None:
                    copies = link["start_s"] + max(moving, request["pieces"] * link["post_s"])
                    assert transfer["copy_per_piece_seconds"] == pytest.approx(copies)
    for link in links.values():
        assert link["source"]
        if link["rate_from"] == "data sheet":
            assert link["gb_per_s"] == pytest.approx(link["data_sheet_gb_per_s"] * link["efficiency"])
            assert link["start_from"] == "assumed"


def test_tensor_parallelism_divides_heads_and_replicates_latents():
    llama = plan("--model", LLAMA)["tensor_parallel"]
    assert [rank["heads"] for rank in llama] == [8, 4, 2, 1]
    assert [rank["block_bytes"] for rank in llama] == [65536, 32768, 16384, 8192]
    deepseek = plan("--model", DEEPSEEK)["tensor_parallel"]
    assert [rank["ranks_per_head"] for rank in deepseek] == [1, 2, 4, 8]
    assert {rank["block_bytes"] for rank in deepseek} == {18432}
    odd = plan("--heads", "10")["tensor_parallel"]
    assert [rank["refused"] is None for rank in odd] == [True, True, False, False]


@pytest.mark.parametrize("name", GOOD)
def test_the_text_fits_and_says_what_it_is(name):
    result = kvferry(
        "plan", "--model", str(CONFIGS / f"{name}.json"), "--link", "all", "--tokens", "1,1024,8192,131072,1000000"
    )
    assert result.returncode == 0
    assert result.stderr == ""
    tables = result.stdout.splitlines()[1:]  # the first line has the path
    assert max(map(len, tables)) <= 100, [line for line in tables if len(line) > 100]
    for part in ("start + bytes / rate", "kvferry bench", "data sheet", "Measured on 2 x H200", "assumed"):
        assert part in result.stdout


def test_absurd_numbers_fit_too():
    tokens = ",".join(str(2**33 - i) for i in range(16))
    tiny = ["--layers", "1", "--kv", "1", "--heads", "1", "--dims", "1", "--link", "all", "--tokens", tokens]
    # 8 tokens in a block is as much as there may be of these.
    large = ["--heads", "8192", "--dims", "2048", "--dtype", "fp32", "--block-size", "8", "--available-memory", "100"]
    for args in (tiny, large):
        result = kvferry("plan", *args)
        assert result.returncode == 0, result.stderr
        assert max(map(len, result.stdout.splitlines())) <= 100, result.stdout
    assert "block_bytes is 2147483648" in result.stdout


def test_what_is_left_out_is_said():
    assert "sliding window" in kvferry("plan", "--model", str(CONFIGS / "gpt_oss.json")).stdout
    # Qwen2.5 names a window and says that it is not used.
    assert "sliding window" not in kvferry("plan", "--model", str(CONFIGS / "qwen25.json")).stdout
    assert "path tcp also needs cores" in kvferry("plan", "--link", "100gbe").stdout
    assert "path tcp" not in kvferry("plan", "--link", "nvlink").stdout


def test_a_link_of_ones_own():
    found = plan("--gb-per-s", "45", "--start-us", "20")
    assert [link["link"] for link in found["links"]] == ["custom"]
    assert found["requests"][0]["transfers"][0]["seconds"] == pytest.approx(20e-6 + 167772160 / 45e9)
    both = plan("--gb-per-s", "45", "--link", "nvlink")
    assert [link["link"] for link in both["links"]] == ["custom", "nvlink4"]


@pytest.mark.parametrize(
    "args, named",
    [
        (["--link", "token-ring"], '"token-ring"'),
        (["--link", ""], "--link: the value is empty"),
        (["--link", "nvlink,nvlink4"], "nvlink4 is there twice"),
        (["--tokens", "0"], "--tokens"),
        (["--tokens", "1,x"], '"x"'),
        (["--gb-per-s", "nan"], '"nan"'),
        (["--start-us", "3"], "--gb-per-s"),
        (["--available-memory", "0"], "--available-memory"),
        (["--available-memory", "0.0001"], "does not hold one block"),
        (["--layers", "65537"], "layers"),
        (["--block-size", "65536", "--heads", "65536"], "block_bytes"),
        (["--tokens", "1099511627776", "--layers", "65536"], "1,099,511,627,776 tokens"),
        (["--model", str(CONFIGS / "hybrid.json")], "layer_types"),
        (["--model", str(CONFIGS / "mamba.json")], "state-space"),
        (["--model", str(CONFIGS / "cut_short.json")], "not valid JSON"),
        (["--model", str(CONFIGS / "largest.json")], "block_bytes"),
        (["--model", str(CONFIGS)], "is not a file"),
    ],
)
def test_wrong_usage_is_named(args, named):
    if args[0] == "--tokens" and "--layers" in args:
        args = [*args, "--available-memory", "100"]
    error = usage_error(*args)
    assert named in error
    assert "See kvferry plan --help" in error


def test_a_failure_is_written_as_json_too(tmp_path):
    target = tmp_path / "plan.json"
    result = kvferry("plan", "--model", "/nowhere", "--json", str(target))
    assert result.returncode == 2
    found = json.loads(target.read_text())
    assert (found["exit_code"], found["error"]["code"], found["geometry"]) == (2, "invalid_argument", None)
    assert "/nowhere" in found["error"]["message"]
    assert list(tmp_path.iterdir()) == [target]


def test_json_to_a_file_leaves_the_text_where_it_was(tmp_path):
    target = tmp_path / "plan.json"
    result = kvferry("plan", "--json", str(target))
    assert "Requests" in result.stdout
    assert json.loads(target.read_text())["command"] == "plan"


def test_help_says_how_and_how_well_it_is_known():
    text = kvferry("plan", "--help").stdout
    for part in ("Examples:", "Exit codes:", "start + bytes / rate", "2^30", "(default 1024)", "kvferry bench"):
        assert part in text, part
    assert max(map(len, text.splitlines())) <= 92
