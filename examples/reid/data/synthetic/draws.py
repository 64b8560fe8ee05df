"""Random numbers that are the same on every machine: raw bits of PCG64, then exact arithmetic alone."""

import numpy as np


class Draws:
    """A stream of its own for each key of whole numbers. No sine, logarithm or sum of floats is involved."""

    def __init__(self, *key):
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def _raw(self, shape):
        count = int(np.prod(shape, dtype=np.int64))
        return self._bits.random_raw(count).reshape(shape)

    def uniform(self, low, high, shape=()):
        """float64 in [low, high)."""
        return low + (high - low) * ((self._raw(shape) >> np.uint64(11)) * 2.0**-53)

    def below(self, count, shape=()):
        """int64 in [0, count)."""
        return ((self._raw(shape) >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)).astype(int)

    def order(self, count):
        """0 … count − 1, shuffled."""
        return np.argsort(self._raw((count,)), kind="stable")

    def grain(self, shape):
        """int16, like normal noise of deviation 148: the sum of four bytes, less their mean."""
        count = int(np.prod(shape, dtype=np.int64))
        raw = self._bits.random_raw(-(-count // 2)).astype("<u8").view(np.uint8)
        a, b, c, d = raw[: 4 * count].reshape(count, 4).T
        return (np.add(a, b, dtype=np.int16) + np.add(c, d, dtype=np.int16) - 510).reshape(shape)
