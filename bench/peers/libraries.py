"""Libraries that a wheel takes from the system, for systems that lack them."""

import ctypes
from pathlib import Path

# Mooncake's extension links these; NIXL's wheel has them under names of its own.
FROM_NIXL = {
    "libibverbs.so.1": "libibverbs-*.so*",
    "libmlx5.so.1": "libmlx5-*.so*",
    "libnuma.so.1": "libnuma-*.so*",
    "libcurl.so.4": "libcurl-*.so*",
}
# The extension cannot even be loaded without a driver's library. The toolkit's stub lets it be, for host memory.
DRIVER, STUB = "libcuda.so.1", Path("/usr/local/cuda/lib64/stubs/libcuda.so")


def _there(name):
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def search_path(site, folder):
    """Folders for LD_LIBRARY_PATH, of which `folder` is made to hold what this system lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = site / "nixl_cu13.libs"
    for name, pattern in FROM_NIXL.items():
        if not _there(name):
            for library in list(wheel.glob(pattern))[:1]:
                (folder / name).symlink_to(library.resolve())
    if not _there(DRIVER) and STUB.exists():
        (folder / DRIVER).symlink_to(STUB)
    # What is linked above asks for its neighbours by the names they have there.
    return [str(folder), str(wheel)]
