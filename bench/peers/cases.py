"""The work that is compared, and the ids it is done with: the same for every contestant."""

from dataclasses import dataclass

LAYERS = 40


class Mt19937_64:
    """std::mt19937_64, which kvferry's scattered:SEED is defined by."""

    SIZE, SHIFT, MASK = 312, 156, 2**64 - 1
    LOWER, UPPER = 2**31 - 1, 2**64 - 2**31

    def __init__(self, seed):
        self.state = [seed & self.MASK]
        for i in range(1, self.SIZE):
            last = self.state[-1]
            self.state.append((6364136223846793005 * (last ^ (last >> 62)) + i) & self.MASK)
        self.at = self.SIZE

    def next(self):
        if self.at == self.SIZE:
            self._twist()
        x = self.state[self.at]
        self.at += 1
        x ^= (x >> 29) & 0x5555555555555555
        x ^= (x << 17) & 0x71D67FFFEDA60000
        x ^= (x << 37) & 0xFFF7EEE000000000
        return x ^ (x >> 43)

    def _twist(self):
        s = self.state
        for i in range(self.SIZE):
            x = (s[i] & self.UPPER) | (s[(i + 1) % self.SIZE] & self.LOWER)
            s[i] = s[(i + self.SHIFT) % self.SIZE] ^ (x >> 1) ^ (0xB5026F5AA96619E9 if x & 1 else 0)
        self.at = 0


def scattered_ids(seed, pool_blocks, count):
    """What `kvferry pull --blocks scattered:SEED` takes: tools/kvferry/ids.hpp says how."""
    random, moved, ids = Mt19937_64(seed), {}, []
    for i in range(count):
        other = i + random.next() % (pool_blocks - i)
        ids.append(moved.get(other, other))
        moved[other] = moved.get(i, i)
    return ids


@dataclass(frozen=True)
class Place:
    """Where the two pools lie. Cases of one place share the contestants' processes and pools."""

    key: str
    owner: int  # a CUDA ordinal, or -1 for host memory
    starter: int  # of the side that starts transfers
    block_bytes: int


@dataclass(frozen=True)
class Case:
    key: str
    title: str
    place: Place
    count: int  # blocks of each layer
    direction: str = "pull"
    contiguous: bool = False
    latency: bool = False  # many samples, of which p50 and p99 are what matters

    @property
    def bytes(self):
        return LAYERS * self.count * self.place.block_bytes

    def ids(self, pool_blocks):
        """(remote, local): as `--blocks scattered:1 --into scattered:2`, or the first ones on both sides."""
        if self.contiguous:
            return list(range(self.count)), list(range(self.count))
        return scattered_ids(1, pool_blocks, self.count), scattered_ids(2, pool_blocks, self.count)


def _cases(prefix, title, place, small):
    return [
        Case(f"{prefix}-pull", f"{title}, scattered pull, 64 KiB x 64", place, 64),
        Case(f"{prefix}-push", f"{title}, scattered push, 64 KiB x 64", place, 64, direction="push"),
        Case(f"{prefix}-contiguous", f"{title}, contiguous ids, 64 KiB x 64", place, 64, contiguous=True),
        Case(f"{prefix}-2.5MiB", f"{title}, 2.5 MiB pull, 64 KiB x 1", place, 1, latency=True),
        Case(f"{prefix}-8KiB", f"{title}, scattered pull, 8 KiB x 480", small, 480),
    ]


def gpu_cases():
    nvlink, small = Place("nvlink", 1, 0, 65536), Place("nvlink-8KiB", 1, 0, 8192)
    same = Place("same-gpu", 0, 0, 65536)
    return [
        *_cases("nvlink", "NVLink", nvlink, small),
        Case("same-gpu-pull", "same GPU, scattered pull, 64 KiB x 64", same, 64),
    ]


def network_cases(gpus):
    """Over TCP on one host: pools on two GPUs, or both on the only one; without any in host memory."""
    where, title = ("gpu", "TCP, GPU to GPU") if gpus else ("host", "TCP, host memory")
    devices = (min(1, gpus - 1), 0) if gpus else (-1, -1)
    place = Place(f"tcp-{where}", *devices, 65536)
    return [case for case in _cases(f"tcp-{where}", title, place, place) if not case.key.endswith("8KiB")]


def host_cases():
    return _cases("host", "host", Place("host", -1, -1, 65536), Place("host-8KiB", -1, -1, 8192))
