"""The programs in docs/c-api.md compile and run, and its table of codes is the header's."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/c-api.md").read_text()
LIBRARY = os.environ.get("KVFERRY_LIBRARY", "libkvferry.so")
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def compile_and_run(source, directory):
    flags = [f"-fsanitize={os.environ['KVFERRY_SANITIZE']}"] if os.environ.get("KVFERRY_SANITIZE") else []
    (directory / "program.c").write_text(source)
    command = [
        os.environ.get("CC", "cc"),
        *STRICT,
        *flags,
        f"-I{ROOT / 'include'}",
        "program.c",
        LIBRARY,
        "-o",
        "program",
    ]
    subprocess.run([*command, f"-Wl,-rpath,{os.path.dirname(LIBRARY)}"], check=True, cwd=directory)
    return subprocess.run(["./program"], check=True, cwd=directory, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize("program", re.findall(r"```c\n(.*?)```", PAGE, re.DOTALL))
def test_programs_run(program, tmp_path):
    assert re.fullmatch(r"393216 bytes over host_shm in \d+ us\n", compile_and_run(program, tmp_path))


def test_codes_are_the_headers():
    header = (ROOT / "include/kvferry/kvferry.h").read_text()
    errors = header[header.index("typedef int32_t kvferry_code;") :]
    in_header = re.findall(r"(KVFERRY_\w+) = (\d)", errors[: errors.index("};")])
    assert re.findall(r"^\| `(KVFERRY_\w+)` \| (\d) \|", PAGE, re.MULTILINE) == in_header


def test_calls_and_constants_named_exist():
    header = (ROOT / "include/kvferry/kvferry.h").read_text()
    named = set(re.findall(r"\b(?:kvferry|KVFERRY)_\w+", PAGE))
    assert {name for name in named if not re.search(rf"\b{name}\b", header)} == set()
