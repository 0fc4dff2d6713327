"""A pool in GPU memory: one cudaMalloc, by the CUDA runtime that torch or the toolkit brought."""

import ctypes
import glob
import os
import sys

import numpy as np

DEFAULT = 4  # cudaMemcpyDefault
RUNTIME = "libcudart.so.13"


def load_runtime():
    """The CUDA runtime, visible to the libraries that need it. Raises OSError where there is none."""
    beside = []
    for folder in sys.path:
        for package in ("nvidia/cu13/lib", "nvidia/cuda_runtime/lib"):
            beside += glob.glob(os.path.join(folder or ".", package, RUNTIME))
    problems = []
    for name in [*beside, RUNTIME, os.path.join("/usr/local/cuda/lib64", RUNTIME)]:
        try:
            return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            problems.append(str(error))
    raise OSError("; ".join(problems))


class CudaMemory:
    def __init__(self, device):
        """Makes the device's context current on this thread, which is where engines look for it."""
        self._runtime = load_runtime()
        self._runtime.cudaGetErrorString.restype = ctypes.c_char_p
        self._call("cudaSetDevice", ctypes.c_int(device))
        self._call("cudaFree", ctypes.c_void_p(None))

    def allocate(self, pool_bytes):
        pointer = ctypes.c_void_p()
        self._call("cudaMalloc", ctypes.byref(pointer), ctypes.c_size_t(pool_bytes))
        self._bytes, self.base = pool_bytes, pointer.value

    def fill(self, value):
        self._call("cudaMemset", self._at(0), ctypes.c_int(value), ctypes.c_size_t(self._bytes))
        # A memset of device memory returns before it is done.
        self._call("cudaDeviceSynchronize")

    def write(self, offset, words):
        self._copy(self._at(offset), words.ctypes.data_as(ctypes.c_void_p), words.nbytes)

    def read(self, offset, size):
        words = np.empty(size // 8, dtype=np.uint64)
        self._copy(words.ctypes.data_as(ctypes.c_void_p), self._at(offset), size)
        return words

    def _at(self, offset):
        return ctypes.c_void_p(self.base + offset)

    def _copy(self, to, source, size):
        self._call("cudaMemcpy", to, source, ctypes.c_size_t(size), ctypes.c_int(DEFAULT))

    def _call(self, name, *arguments):
        result = getattr(self._runtime, name)(*arguments)
        if result != 0:
            raise RuntimeError(f"{name}: {self._runtime.cudaGetErrorString(result).decode()}")
