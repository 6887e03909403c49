"""How the kernels of selective search are compiled: ahead of the first call, without the GIL, cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# Sums may be reordered, and so vectorised. Each such sum here is over integers held as floats below 2^24: exact in any
# order, the same on every machine. Nothing else that would change a result (contraction, reciprocals) is allowed.
_REORDERED_SUMS = {"reassoc", "nnan", "ninf", "nsz"}


def compiled(signature: str) -> Callable[[Kernel], Kernel]:
    """Compile a function for one signature, at import; numba keeps the code beside the source or in the user's cache.

    Where neither folder can be written the code is compiled anew in each process.
    """

    def decorate(kernel: Kernel) -> Kernel:
        settings: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": _REORDERED_SUMS}
        try:
            made: Kernel = njit(signature, cache=True, **settings)(kernel)
        except RuntimeError as error:
            if "cannot cache function" not in str(error):
                raise
            made = njit(signature, **settings)(kernel)
        return made

    return decorate
