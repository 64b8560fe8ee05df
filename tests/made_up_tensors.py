"""Bytes → tensors as a fuzzer makes them up: most fit, now and then one is wrong in some way.

Another rank, size, type, device or layout, memory of an earlier one, or numbers that should not be there.
"""

import numpy as np
import torch

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
OTHER_TYPES = (torch.float64, torch.float32, torch.int64, torch.bool, torch.complex64, torch.uint16)
EXTREMES = (0.0, -1.0, 1e-300, 5e-324, 1e30, 1e308, float("inf"), float("-inf"), float("nan"))
HUGE = (2**40, 2**62)
LOSSES = (
    ("drsl", (0.5, 1.0, 1.0, 1.0)),
    ("drsl", (0.0, 1.0, 0.5, 0.0)),
    ("fidi", (1.05, 0.5)),
    ("smooth_ap", (0.01, 0.0)),
    ("smooth_ap", (0.3, 1.0)),
    ("batch_hard_triplet", (0.3,)),
    ("batch_hard_triplet", ()),
)


class Source:
    """Bytes, one choice each; zeros when they have come to their end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def byte(self):
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def pick(self, options):
        return options[self.byte() % len(options)]

    def rarely(self):
        return self.byte() % 16 == 15

    def flag(self):
        return self.byte() % 2 == 1


class Maker:
    """Arguments that fit one problem, but for what goes wrong on purpose."""

    def __init__(self, source):
        self.source = source
        self.rng = np.random.default_rng(source.byte())
        self.earlier = []  # tensors that a later one may share memory with

    def sizes(self, options, count):
        return [self.source.pick(options) for _ in range(count)]

    def floats(self, dtype, *shape, turned=lambda values: values):
        """Numbers; `turned` makes them what the operator would be given."""
        values = self.rng.standard_normal(shape)
        kind = self.source.byte() % 12
        if kind == 1:  # ties
            values = np.round(values)
        elif kind == 2:
            values = np.zeros(shape)
        elif kind == 3:
            values = values * self.source.pick((1e-30, 1e30, 1e-300, 1e300))
        elif kind == 4:  # copies of the first row
            values[...] = values[..., :1, :] if len(shape) > 1 and shape[-2] else values
        elif kind == 5 and values.size:
            some = self.rng.random(shape) < self.source.pick((0.02, 0.5, 1.0))
            values[some] = self.source.pick(EXTREMES)
        elif kind == 6:  # a common centre
            values += 100.0
        return self.laid_out(torch.as_tensor(turned(values)).to(dtype))

    def integers(self, low, high, *shape, dtype=None):
        """In [low, high), unless something is wrong."""
        values = self.rng.integers(low, max(high, low + 1), shape)
        if self.source.rarely() and values.size:
            values.flat[-1] = self.source.pick((high, low - 1, -1, 2**31, -(2**63), 2**63 - 1))
        dtype = self.source.pick(INTEGERS) if dtype is None else dtype
        return self.laid_out(torch.as_tensor(values).to(dtype))

    def bools(self, *shape):
        return self.laid_out(torch.as_tensor(self.rng.random(shape) < 0.2))

    def laid_out(self, t):
        """The tensor in another layout, or another tensor."""
        kind = self.source.byte()
        if kind < 160:
            pass
        elif kind < 176:  # transposed memory
            t = t.T.contiguous().T if t.dim() == 2 else t
        elif kind < 192:  # every second number, not at the beginning
            wide = t.new_zeros(*t.shape[:-1], 2 * t.shape[-1] + 1) if t.dim() else t
            t = wide[..., 1::2].copy_(t) if t.dim() else t
        elif kind < 200:  # one number for all
            t = t.flatten()[:1].expand(t.shape) if t.numel() else t
        elif kind < 210:
            t = self.shared(t)
        else:
            t = self.wrong(t, kind)
        self.earlier.append(t)
        return t

    def shared(self, t):
        """The same memory as an earlier tensor, where the type is the same."""
        for other in self.earlier:
            fits = other.layout is torch.strided and other.numel() >= t.numel()
            if fits and other.dtype == t.dtype and not other.is_meta and other.numel() < 2**20:
                return other.reshape(-1)[: t.numel()].view(t.shape)
        return t

    def wrong(self, t, kind):
        if kind < 216:
            return t[None]
        if kind < 222:
            return t[0] if t.dim() and t.shape[0] else t.new_zeros(())
        if kind < 228 and t.dim():
            return torch.cat([t, t], dim=self.source.byte() % t.dim())
        if kind < 234 and t.dim():
            return t.narrow(self.source.byte() % t.dim(), 0, 0)
        if kind < 242:
            return t.to(self.source.pick(OTHER_TYPES))
        if kind < 248:
            return t.to("meta")
        if kind < 251:  # without numbers, but of a size that nothing could hold
            shape = list(t.shape) or [0]
            shape[self.source.byte() % len(shape)] = self.source.pick(HUGE)
            shape[self.source.byte() % len(shape)] = 0
            return _attempt(t.new_empty, shape, t)
        if kind < 253 and t.numel() and t.dim():  # the same number over and over
            shape = list(t.shape)
            shape[self.source.byte() % len(shape)] = self.source.pick(HUGE)
            return _attempt(t.flatten()[0].expand, shape, t)
        return t.to_sparse() if t.dim() else t

    def maybe(self, tensor):
        """None where it should be there is as wrong as the other way round."""
        return None if self.source.rarely() else tensor()

    def number(self, usual):
        return self.source.pick(EXTREMES) if self.source.rarely() else float(usual)

    def loss(self):
        name, params = self.source.pick(LOSSES)
        params = [self.number(p) for p in params]
        if self.source.rarely():
            name = self.source.pick(("", "drsl", "fidi", "smooth_ap", "none"))
        return name, params


def _attempt(make, shape, otherwise):
    try:
        return make(shape)
    except RuntimeError:  # torch itself says that there is no such tensor
        return otherwise


def small(t):
    """Whether it has numbers, few enough to look at each."""
    return t.layout is torch.strided and not t.is_meta and t.numel() < 2**20
