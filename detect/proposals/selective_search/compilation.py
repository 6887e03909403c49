"""Compilation of the kernels of selective search: at import, without the GIL, cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# Sums may be reordered, so that they can be vectorized. Each such sum is over integers stored as floats below 2^24: it
# is exact in any order and the same on every machine. Optimizations that would change a result (contraction,
# reciprocals) are off.
_REORDERED_SUMS = {"reassoc", "nnan", "ninf", "nsz"}


def compile_kernel(signature: str) -> Callable[[Kernel], Kernel]:
    """Compile a function for one signature at import; numba caches the code beside the source or in the user's cache.

    If neither folder can be written, each process compiles the code again.
    """

    def decorate(kernel: Kernel) -> Kernel:
        settings: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": _REORDERED_SUMS}
        try:
            dispatcher: Kernel = njit(signature, cache=True, **settings)(kernel)
        except RuntimeError as error:
            if "cannot cache function" not in str(error):
                raise
            dispatcher = njit(signature, **settings)(kernel)
        return dispatcher

    return decorate
