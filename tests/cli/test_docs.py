"""docs/cli.md is what --help says."""

import pathlib
import subprocess

from conftest import BIN

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_manual_is_up_to_date():
    result = subprocess.run(
        [str(ROOT / "scripts" / "gen-cli-docs"), "--check", BIN], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
