"""Completion in a real bash, and the other shells' where they are installed."""

import shutil
import subprocess

import pytest
from conftest import BIN, kvferry

HARNESS = r"""
source <("$1" completion bash)
shift
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_kvferry
printf '%s\n' "${COMPREPLY[@]}"
"""


def bash(*words, cwd=None):
    result = subprocess.run(
        ["bash", "-c", HARNESS, "bash", BIN, "kvferry", *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        check=True,
    )
    assert result.stderr == ""
    return result.stdout.split()


def test_commands():
    assert bash("pu") == ["pull", "push"]
    assert {"serve", "pull", "push", "explain", "completion", "--help", "--version"} <= set(bash(""))


def test_options_of_a_command():
    assert bash("serve", "--w") == ["--writable"]
    assert bash("pull", "--w") == []
    assert "--layer-range" in bash("pull", "--port", "1", "--l")


def test_values():
    assert bash("pull", "--copy", "") == ["auto", "kernel", "engine"]
    assert bash("serve", "--dtype", "fp8") == ["fp8_e4m3", "fp8_e5m2"]
    assert bash("pull", "--dtype", "=", "i") == ["int8"]
    assert bash("pull", "--port", "") == []
    assert bash("completion", "z") == ["zsh"]


def test_files(tmp_path):
    (tmp_path / "config.json").touch()
    assert bash("serve", "--model", "con", cwd=tmp_path) == ["config.json"]


def test_every_option_in_the_help_is_completed():
    for command in ("serve", "pull", "push", "explain"):
        words = kvferry(command, "--help").stdout.split()
        options = {word.rstrip(",") for word in words if word.startswith("--") and word[2:3].isalpha()}
        known = set(bash(command, "--"))
        lines = kvferry(command, "--help").stdout.splitlines()
        declared = {part.rstrip(",") for line in lines if line.startswith("  -") for part in line.split()[:2] if part.startswith("--")}
        assert declared
        assert declared <= known
        assert known <= options


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_reads_its_script(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(kvferry("completion", shell).stdout)
    subprocess.run([shell, "-n", str(script)], check=True, timeout=60)


def test_fish_offers_values():
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    script = f"{BIN} completion fish | source; complete -C 'kvferry pull --copy '"
    result = subprocess.run(["fish", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["auto", "engine", "kernel"]


def test_an_unknown_shell():
    result = kvferry("completion", "tcsh")
    assert result.returncode == 2
    assert '"tcsh"' in result.stderr
