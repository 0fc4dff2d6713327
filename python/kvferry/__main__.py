"""`python -m kvferry`: the kvferry program that came with this package."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Becomes the program; does not return."""
    program = os.path.join(os.path.dirname(__file__), "bin", "kvferry")
    try:
        os.execv(program, ["kvferry", *sys.argv[1:]])
    except OSError as error:
        sys.exit(f"kvferry: {program}: {error.strerror}; install the package again")


if __name__ == "__main__":
    main()
