"""Counter-based random streams: the same numbers from the same names and seed on every machine.

NumPy promises stable bits for its bit generators but not for `Generator.integers` or `shuffle`
(NEP 19), so a stream takes the raw bits of Philox and turns them into numbers by rules of its own.
"""

import hashlib

import numpy as np


class Stream:
    """A random stream named by its parts, e.g. `Stream("plan", seed, step)`.

    Streams with different names are independent, and any of them can be made alone: this is what
    lets one step of a batch plan be computed without the steps before it.
    """

    def __init__(self, *name: object):
        # A NumPy integer prints otherwise than the int it stands for.
        name = tuple(int(part) if isinstance(part, np.integer) else part for part in name)
        digest = hashlib.blake2b(repr(name).encode(), digest_size=16).digest()
        self._bits = np.random.Philox(key=int.from_bytes(digest, "little"))

    def uniform(self, size: int) -> np.ndarray:
        """`size` floats in [0, 1), from the upper 53 bits of each raw 64-bit number."""
        return (self._bits.random_raw(size) >> np.uint64(11)) * 2.0**-53

    def integers(self, below: int, size: int) -> np.ndarray:
        """`size` integers in [0, below)."""
        return (self.uniform(size) * below).astype(np.int64)

    def integer(self, below: int) -> int:
        """One integer in [0, below)."""
        return int(self.integers(below, 1)[0])

    def permutation(self, size: int) -> np.ndarray:
        """A random order of range(size)."""
        return np.argsort(self.uniform(size), kind="stable")
