"""Nothing of the C ABI changes unnoticed: its calls, structs and constants are those of abi.txt.

After a change that is meant: raise KVFERRY_ABI_VERSION as kvferry.h says, run this with
KVFERRY_ABI_UPDATE=1, and review the difference in abi.txt.
"""

import os
import pathlib
import re
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent
HEADER = HERE.parents[1] / "include/kvferry/kvferry.h"
REVIEWED = HERE / "abi.txt"
LIBRARY = os.environ.get("KVFERRY_LIBRARY", "libkvferry.so")


def without_comments():
    return re.sub(r"//.*", "", HEADER.read_text())


def calls(text):
    """The prototypes, each on one line."""
    return [" ".join(call.split()) for call in re.findall(r"^KVFERRY_API ([^;{}]+\([^;]*\));", text, re.MULTILINE)]


def structs(text):
    """Name -> fields, in order."""
    found = {}
    for name, body in re.findall(r"typedef struct (\w+) \{(.*?)\n\} \w+;", text, re.DOTALL):
        found[name] = re.findall(r"(?:\(\*)?(\w+)(?:\)\([^)]*\))?;", body)
    return found


def constants(text):
    bodies = re.findall(r"^enum \{(.*?)\}", text, re.DOTALL | re.MULTILINE)
    named = [name for body in bodies for name in re.findall(r"(\w+) =", body)]
    return re.findall(r"#define (KVFERRY_(?!API)\w+)", text) + named


def layout(tmp_path):
    """What a C program compiles into itself."""
    text = without_comments()
    lines = [f'printf("value %s %d\\n", "{name}", (int)({name}));' for name in constants(text)]
    for name, fields in structs(text).items():
        lines.append(f'printf("struct %s: %zu bytes\\n", "{name}", sizeof({name}));')
        for field in fields:
            at = f"offsetof({name}, {field}), sizeof((({name}*)0)->{field})"
            lines.append(f'printf("  %3zu +%zu %s\\n", {at}, "{field}");')
    source = tmp_path / "layout.c"
    body = "\n  ".join(lines)
    source.write_text(f"#include <kvferry/kvferry.h>\n#include <stdio.h>\nint main(void) {{\n  {body}\n}}\n")
    compiler = os.environ.get("CC", "cc")
    include = f"-I{HEADER.parents[1]}"
    subprocess.run([compiler, "-std=c11", include, source, "-o", tmp_path / "layout"], check=True)
    return subprocess.run([tmp_path / "layout"], check=True, capture_output=True, text=True).stdout


def test_calls_and_structs_are_the_reviewed_ones(tmp_path):
    now = layout(tmp_path) + "".join(f"call {call}\n" for call in calls(without_comments()))
    if os.environ.get("KVFERRY_ABI_UPDATE"):
        REVIEWED.write_text(now)
    assert now == REVIEWED.read_text(), "the C ABI changed: see the top of test_abi.py"


def test_structs_have_no_room_between_fields(tmp_path):
    """Padding is memory that nobody clears: a field put there later would be read as set."""
    name, size, end = "", 0, 0
    for line in [*layout(tmp_path).splitlines(), "struct none: 0 bytes"]:
        if line.startswith("struct"):
            assert end == size, f"{name}: {size - end} bytes of padding at its end"
            name, size, end = line.split()[1], int(line.split()[2]), 0
        elif line.startswith("  "):
            offset, length, field = line.split()
            assert int(offset) == end, f"{name} {field}: {int(offset) - end} bytes of padding before it"
            end += int(length)


def test_the_library_shows_these_calls_and_no_others():
    shown = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], check=True, capture_output=True, text=True).stdout
    names = {line.split()[-1] for line in shown.splitlines()}
    declared = {re.search(r"(\w+)\(", call).group(1) for call in calls(without_comments())}
    assert {name for name in names if name.startswith("kvferry")} == declared


@pytest.mark.parametrize("name", ["kvferry_pool_allocate", "kvferry_transfer_options"])
def test_the_reading_of_the_header_finds_things(name):
    text = without_comments()
    assert name in " ".join(calls(text)) + " ".join(structs(text))
