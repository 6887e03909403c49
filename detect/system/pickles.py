"""Reads pickles of arrays without running any code in them.

A pickle names functions and has them called. ``torch.load(weights_only=True)`` allows those of tensors. The files of
detectron2's model zoo are plain pickles of numpy arrays, so here the functions of arrays are allowed and no others.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from detect.errors import UserError, first_line

ALLOWED_CONTENT = "arrays, dicts, lists, strings and numbers alone"


class RefusedError(Exception):
    """Raised when the pickle names a global that is not in ALLOWED_GLOBALS."""


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Stand in for ``_codecs.encode``, by which protocol 2 stores the bytes of an array; other codecs are refused."""
    if encoding != "latin1":
        raise RefusedError(f"_codecs.encode to {encoding}")
    return text.encode("latin1")


def _array_from_buffer(buffer: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any) -> np.ndarray:
    """Stand in for ``numpy.core.numeric._frombuffer``, by which protocol 5 stores an array."""
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


def _empty_bytes() -> bytes:
    """Stand in for ``bytes``, by which protocol 2 stores an array without elements."""
    return b""


def _pickle_constructor(value: Any) -> Callable[..., Any]:
    """Return the function by which numpy pickles ``value``."""
    maker: Callable[..., Any] = value.__reduce__()[0]
    return maker


ALLOWED_GLOBALS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode_latin1,
    ("__builtin__", "bytes"): _empty_bytes,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{  # numpy 2 renamed its internal modules
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _pickle_constructor(np.zeros(0))),
            ("multiarray", "scalar", _pickle_constructor(np.float32())),
            ("numeric", "_frombuffer", _array_from_buffer),
        )
    },
}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that resolves only the names in ALLOWED_GLOBALS."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the allowed function; RefusedError for any other name, before anything of it is imported."""
        if (module, name) not in ALLOWED_GLOBALS:
            raise RefusedError(f"{module}.{name}")
        return ALLOWED_GLOBALS[module, name]


def read_arrays(file: Path) -> Any:
    """Return the content of a pickle of arrays, dicts, lists, strings and numbers, including those of Python 2.

    Raises UserError, which names the file and, if the pickle contains anything else, that class or function.
    """
    try:
        with file.open("rb") as stream:
            return _ArraysOnly(stream, encoding="latin1").load()
    except RefusedError as refused:
        raise UserError(f"{file}: expected {ALLOWED_CONTENT}, found {refused}") from None
    except Exception as error:
        raise UserError(
            f"{file}: expected a pickle of {ALLOWED_CONTENT}, found an unreadable file ({first_line(error)})"
        ) from None
