"""Randomness by key, not by stream.

A draw depends on its key (seed, epoch, image, purpose) and on nothing drawn before it. So a resumed run, any number of
loader workers and any number of processes see the same draws, and a CPU and a GPU do too.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

_MASK63 = (1 << 63) - 1


def key(*parts: int | str) -> int:
    """A 63-bit key for a tuple of integers and strings, the same on every machine."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") & _MASK63


def generator(*parts: int | str) -> np.random.Generator:
    """A numpy generator that starts at ``key(*parts)``."""
    return np.random.Generator(np.random.PCG64(key(*parts)))


def uniform(count: int, device: torch.device, *parts: int | str) -> Tensor:
    """``count`` floats in [0, 1), float64, on ``device``; the i-th depends on the key and on i alone.

    SplitMix64 (Steele, Lea and Flood 2014) on the counter, in wrapping int64 arithmetic.
    """
    counter = torch.arange(1, count + 1, dtype=torch.int64, device=device)
    z = counter * _signed(0x9E3779B97F4A7C15) + key(*parts)
    z = (z ^ _shift(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift(z, 27)) * _signed(0x94D049BB133111EB)
    return _shift(z ^ _shift(z, 31), 11).double() * 2.0**-53


def _signed(value: int) -> int:
    """The int64 with the bits of an unsigned 64-bit integer."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _shift(value: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64 (torch's own keeps the sign)."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)
