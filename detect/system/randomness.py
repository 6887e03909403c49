"""Random numbers from keys instead of a stream.

A draw depends only on its key (seed, epoch, image, purpose), not on earlier draws. So a resumed run sees the same
draws, whatever the number of loader workers and processes, and a CPU and a GPU do too.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

_MASK63 = (1 << 63) - 1


def hash_key(*parts: int | str) -> int:
    """Return a 63-bit hash of a tuple of integers and strings, the same on every machine."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") & _MASK63


def numpy_generator(*parts: int | str) -> np.random.Generator:
    """Return a numpy generator seeded with ``hash_key(*parts)``."""
    return np.random.Generator(np.random.PCG64(hash_key(*parts)))


def uniform(count: int, device: torch.device, *parts: int | str) -> Tensor:
    """Return ``count`` floats in [0, 1), shape (count,), float64, on ``device``; the i-th depends only on the key and
    on i.
    """
    return uniform_at(torch.arange(1, count + 1, dtype=torch.int64, device=device), *parts)


def uniform_at(counter: Tensor, *parts: int | str) -> Tensor:
    """Return a float in [0, 1), float64, for each number of ``counter``, int64; it depends only on the key and on that
    number.

    SplitMix64 (Steele, Lea and Flood 2014) of the counter, in wrapping int64 arithmetic.
    """
    z = counter * _signed(0x9E3779B97F4A7C15) + hash_key(*parts)
    z = (z ^ _shift(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift(z, 27)) * _signed(0x94D049BB133111EB)
    return _shift(z ^ _shift(z, 31), 11).double() * 2.0**-53


def _signed(value: int) -> int:
    """Return the int64 with the same bits as an unsigned 64-bit integer."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _shift(value: Tensor, bits: int) -> Tensor:
    """Shift int64 right logically (torch's own shift keeps the sign)."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)
