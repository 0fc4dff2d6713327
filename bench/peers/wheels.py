#!/usr/bin/env python3
"""Fetches the wheels that are compared, and unpacks of them what one host needs: files are left out, none is changed.

usage: wheels.py CACHE SITE [--python 3.12]

Downloads with pip into CACHE (once), and makes SITE, a folder for PYTHONPATH.
"""

import argparse
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

PINS = [
    "nixl-cu13==1.5.1",
    "mooncake-transfer-engine-cuda13==0.3.14",
    # The CUDA runtime that both link; wherever torch is there is one, but not every machine has torch.
    "nvidia-cuda-runtime==13.0.96",
]
# pip matches the number in a platform exactly.
PLATFORMS = [f"manylinux_2_{n}_x86_64" for n in (39, 35, 34, 31, 28, 27, 24, 17)] + ["manylinux2014_x86_64"]

# What is loaded by name at run time. Shared libraries that these need come along by themselves.
ROOTS = [
    "nixl_cu13/*",
    ".nixl_cu13.mesonpy.libs/plugins/libplugin_UCX.so",
    "nixl_cu13.libs/nixl/libplugin_UCX.so",
    "nixl_cu13.libs/ucx/libuc[tm]*.so*",
    "mooncake/__init__.py",
    "mooncake/engine.so",
    "mooncake/engine.pyi",
    "nvidia/cu13/lib/libcudart.so.13",
    # Mooncake takes these from the system; NIXL's wheel has them for systems without: libraries.py.
    "nixl_cu13.libs/libibverbs-*",
    "nixl_cu13.libs/libmlx5-*",
    "nixl_cu13.libs/libnuma-*",
    "nixl_cu13.libs/libcurl-*",
    "*.dist-info/METADATA",
    "*.dist-info/licenses/*",
    "*.dist-info/LICENSE*",
]
# Where an unpacked library may find its neighbours.
LIBRARY_FOLDERS = (
    ".nixl_cu13.mesonpy.libs",
    "nixl_cu13.libs",
    "mooncake",
    "mooncake_transfer_engine_cuda13.libs",
)


def fetch(cache, python):
    """The wheels for that Python, downloaded unless they are there."""
    folder = cache / f"wheels-{python}"
    wanted = [pin.split("==") for pin in PINS]
    missing = [
        f"{name}=={version}"
        for name, version in wanted
        if not list(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
    ]
    if missing:
        platforms = [part for platform in PLATFORMS for part in ("--platform", platform)]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += [
            "--python-version",
            python,
            "--implementation",
            "cp",
            *platforms,
            "-d",
            str(folder),
            *missing,
        ]
        subprocess.run(command, check=True)
    return [next(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl")) for name, version in wanted]


def needed(library):
    """The sonames a shared library asks for."""
    text = subprocess.run(["objdump", "-p", library], capture_output=True, text=True, check=True).stdout
    return [line.split()[1] for line in text.splitlines() if line.split()[:1] == ["NEEDED"]]


def with_needed(root, files):
    """The files, and every library of the wheels that they need, directly or not."""
    found, todo = set(), list(files)
    while todo:
        file = todo.pop()
        if file in found:
            continue
        found.add(file)
        if ".so" in file.suffixes or file.suffix == ".so":
            for name in needed(root / file):
                todo += [
                    f for folder in LIBRARY_FOLDERS if (root / (f := PurePosixPath(folder) / name)).exists()
                ]
    return found


def unpack(wheels, site):
    whole = site.with_name(site.name + ".whole")
    for folder in (whole, site):
        if folder.exists():
            shutil.rmtree(folder)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(whole)
    roots = [PurePosixPath(path.relative_to(whole)) for pattern in ROOTS for path in whole.glob(pattern)]
    for file in sorted(with_needed(whole, [f for f in roots if (whole / f).is_file()])):
        target = site / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(whole / file, target)
    shutil.rmtree(whole)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cache", type=Path)
    parser.add_argument("site", type=Path)
    parser.add_argument("--python", default="3.12", metavar="VERSION")
    options = parser.parse_args()
    stamp = options.site / "WHEELS"
    pins = "\n".join([*PINS, f"python {options.python}"]) + "\n"
    if stamp.exists() and stamp.read_text() == pins:
        return 0
    unpack(fetch(options.cache, options.python), options.site)
    stamp.write_text(pins)
    return 0


if __name__ == "__main__":
    sys.exit(main())
