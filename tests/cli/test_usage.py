"""The command line by itself: help, version, and everything that is wrong usage."""

import pytest
from conftest import SMALL, kvferry

COMMANDS = ["serve", "pull", "push", "explain", "bench", "doctor", "plan", "keygen", "completion"]


def usage_error(*args):
    result = kvferry(*args)
    assert result.returncode == 2, result
    assert result.stdout == "" or "blocks x" in result.stdout
    return result.stderr


def test_version():
    result = kvferry("--version")
    assert result.returncode == 0
    assert result.stdout.startswith("kvferry ")
    assert kvferry("-V").stdout == result.stdout
    assert "CUDA" in result.stdout


@pytest.mark.parametrize("command", [[], *[[c] for c in COMMANDS]])
def test_help_of_every_command(command):
    result = kvferry(*command, "--help")
    assert result.returncode == 0
    assert result.stderr == ""
    assert f"Usage: {' '.join(['kvferry', *command])}" in result.stdout
    assert result.stdout == kvferry(*command, "-h").stdout
    assert result.stdout == kvferry("help", *command).stdout


@pytest.mark.parametrize("command", ["serve", "pull", "push", "explain"])
def test_help_says_units_defaults_environment_and_exit_codes(command):
    text = kvferry(command, "--help").stdout
    memory = ("GB here means", "2^30", "(default 4)")
    assert [part in text for part in memory] == [command != "explain"] * 3
    for part in ("(default 5555)", "CUDA_VISIBLE_DEVICES", "Exit codes:", "Examples:"):
        assert part in text, part


def test_no_command_and_an_unknown_one():
    error = usage_error()
    assert "a command is required: serve, pull, push, explain, peers, bench, doctor, plan, keygen, completion\n" in error
    assert "See kvferry --help" in error
    assert '"fetch" is not a command' in usage_error("fetch")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_flag_is_named(command):
    error = usage_error(command, *{"completion": ["bash"], "keygen": ["token"]}.get(command, []), "--colour", "red")
    assert "--colour" in error
    assert f"See kvferry {command} --help" in error


@pytest.mark.parametrize(
    "args, named",
    [
        (["--port", "65536"], '"65536"'),
        (["--port", "five"], '"five"'),
        (["--heads", "0"], "--heads"),
        (["--heads", "-1"], "--heads"),
        (["--layers", "65537"], "layers"),
        (["--kv", "3"], "kv"),
        (["--dtype", "fp64"], '"fp64"'),
        (["--device", "gpu"], '"gpu"'),
        (["--device", "cuda:x"], '"cuda:x"'),
        (["--blocks", "first,2"], '"first,2"'),
        (["--blocks", "0-7,x,40"], '"x"'),
        (["--blocks", "9-3"], '"9-3"'),
        (["--blocks", "0-4294967295"], '"0-4294967295" makes the list longer than 16777216 ids'),
        (["--blocks", "0-9999999999"], '"0-9999999999" is too large'),
        (["--into", "0-9999999999"], '"0-9999999999" is too large; the local pool\'s highest id is 5241'),
        (["--blocks", "0-5999"], "--blocks names 6000 ids, the local pool has 5242 blocks"),
        (["--model", ""], "--model: the value is empty"),
        (["--deadline", ""], "--deadline: the value is empty"),
        (["--blocks", "scattered:x"], '"scattered:x"'),
        (["--into", "first"], '"first"'),
        (["--into", "1,2", "--blocks", "1,2,3"], "--blocks names 3 ids and --into names 2"),
        (["--blocks", "1,2", "--input-tokens", "64"], "--input-tokens"),
        (["--layer-range", "2:2"], '"2:2"'),
        (["--layer-range", "0:5"], "4 layers"),
        (["--deadline", "30 s"], '"30 s" is not a duration; give seconds, or'),
        (["--deadline", "0s"], '"0s"'),
        (["--copy", "fast"], '"fast"'),
        (["--path", "pigeon"], '"pigeon"'),
        (["--count", "0"], "--count"),
        (["--available-memory", "-4"], "--available-memory"),
        (["--available-memory", "4GB"], '"4GB"'),
        (["--available-memory", "0.000001"], "2.0 KiB"),
        (["--input-tokens", "1000000"], "needs 250000 blocks, the local pool has 5242"),
        (["--model", "/nonexistent/config.json"], "/nonexistent/config.json"),
        (["--json", "/nonexistent/out.json"], "/nonexistent/out.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_value_is_named_before_anything_happens(args, named):
    small = list(SMALL)
    for flag in args[::2]:  # what is given here replaces the small shape's
        if flag in small:
            at = small.index(flag)
            del small[at : at + 2]
    error = usage_error("pull", *small, *args)
    assert named.replace("2.0 KiB", "2 KiB") in error
    assert "See kvferry pull --help" in error


@pytest.mark.parametrize(
    "args, message",
    [
        (["pull", "--cuont", "5", "--colour"], "kvferry pull: unknown option --cuont; did you mean --count?"),
        (["pull", "--count"], "kvferry pull: --count needs a value"),
        (["push", "--count", "1", "--count", "2"], "kvferry push: --count was given twice"),
        (["--prot"], "kvferry: unknown option --prot"),
        (["help", "fetch"], 'kvferry: "fetch" is not a command'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_messages_are_short_and_ours(args, message):
    assert usage_error(*args).splitlines()[0].startswith(message)


@pytest.mark.parametrize("lease", ["2s", "0.02h", "30"])
def test_a_lease_is_a_time_like_any_other(lease):
    error = usage_error("serve", *SMALL, "--lease", lease, "--advertise", "a:1")
    assert "--advertise needs --name" in error  # the next mistake


@pytest.mark.parametrize("lease", ["2h", "1500ms", "0.5", "2 s", "0"])
def test_a_lease_that_cannot_be_is_named(lease):
    assert f'--lease: "{lease}" is' in usage_error("serve", *SMALL, "--lease", lease)


def test_an_unreadable_model_config_is_named(tmp_path):
    config = tmp_path / "config.json"
    config.write_text("{}")
    assert str(config) in usage_error("serve", "--model", str(config))
    assert "not a file" in usage_error("serve", "--model", str(tmp_path))


def test_a_gpu_that_is_not_there_is_a_local_resource():
    result = kvferry("pull", "--device", "cuda:999")
    assert result.returncode == 6
    assert "cuda:999" in result.stderr
