"""A pool in this process's own host memory."""

import mmap

import numpy as np


class HostMemory:
    def __init__(self, _device):
        pass

    def allocate(self, pool_bytes):
        # All pages are there from the start: the first touch is not what is compared.
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0)
        self._bytes = np.frombuffer(mmap.mmap(-1, pool_bytes, flags=flags), dtype=np.uint8)
        self.base = self._bytes.ctypes.data

    def fill(self, value):
        self._bytes[:] = value

    def write(self, offset, words):
        self._bytes[offset : offset + words.nbytes] = words.view(np.uint8)

    def read(self, offset, size):
        return self._bytes[offset : offset + size].view(np.uint64)
