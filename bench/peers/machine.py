"""What the figures were measured on."""

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path


def _output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def gpus():
    """[{index, name, memory, driver}] as nvidia-smi lists them; empty where there are none."""
    rows = _output(
        "nvidia-smi", "--query-gpu=index,name,memory.total,driver_version", "--format=csv,noheader"
    )
    names = ("index", "name", "memory", "driver")
    return [dict(zip(names, re.split(r",\s*", row), strict=True)) for row in rows.splitlines() if row]


def describe():
    cpu = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        match = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        cpu = match.group(1) if match else ""
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "gpus": gpus(),
        "links": _output("nvidia-smi", "topo", "-m"),
    }


def commit(root):
    """Of the tree, or of what a pack was made from."""
    packed = Path(root) / "COMMIT"
    if packed.exists():
        return packed.read_text().strip()
    return _output("git", "-C", str(root), "describe", "--always", "--dirty").strip()


def now():
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def slug(machine, memory):
    """h200x2, host: of the file names in docs/results."""
    if memory == "host":
        return "host"
    names = [gpu["name"] for gpu in machine["gpus"]]
    short = re.sub(r"[^a-z0-9]", "", names[0].split("NVIDIA")[-1].split()[0].lower()) if names else "gpu"
    return f"{short}x{len(names)}"
