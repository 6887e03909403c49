"""Pickles of arrays, read without running what is in them.

A pickle names functions and has them called. ``torch.load(weights_only=True)`` allows those of tensors; the files of
detectron2's model zoo are plain pickles of numpy arrays instead, so here those of arrays are allowed and no others.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from detect.errors import UserError

CONTENT = "arrays, dicts, lists, strings and numbers alone"


class RefusedError(Exception):
    """The pickle names something that is none of ALLOWED."""


def _bytes_of(text: str, encoding: str) -> bytes:
    """What pickles of protocol 2 call for the bytes of an array; any other codec than theirs is refused."""
    if encoding != "latin1":
        raise RefusedError(f"_codecs.encode to {encoding}")
    return text.encode("latin1")


def _array_of(buffer: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any) -> np.ndarray:
    """What pickles of protocol 5 call."""
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


def _no_bytes() -> bytes:
    """What pickles of protocol 2 call for an array without numbers."""
    return b""


def _maker_of(value: Any) -> Callable[..., Any]:
    """The function by which numpy pickles a value."""
    maker: Callable[..., Any] = value.__reduce__()[0]
    return maker


ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _bytes_of,
    ("__builtin__", "bytes"): _no_bytes,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{  # numpy 2 has renamed its inner modules
        (f"numpy.{core}.{module}", name): made
        for core in ("core", "_core")
        for module, name, made in (
            ("multiarray", "_reconstruct", _maker_of(np.zeros(0))),
            ("multiarray", "scalar", _maker_of(np.float32())),
            ("numeric", "_frombuffer", _array_of),
        )
    },
}


class _ArraysOnly(pickle.Unpickler):
    """Finds nothing but ALLOWED."""

    def find_class(self, module: str, name: str) -> Any:
        """The thing itself; RefusedError for all else, before anything of it is imported."""
        if (module, name) not in ALLOWED:
            raise RefusedError(f"{module}.{name}")
        return ALLOWED[module, name]


def read_arrays(file: Path) -> Any:
    """What is in a pickle of arrays, dicts, lists, strings and numbers, Python 2's among them.

    Raises UserError that names the file, and the class or function where it holds anything else.
    """
    try:
        with file.open("rb") as stream:
            return _ArraysOnly(stream, encoding="latin1").load()
    except RefusedError as refused:
        raise UserError(f"{file}: expected {CONTENT}, found {refused}") from None
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file}: expected a pickle of {CONTENT}, found an unreadable file ({reason})") from None
