"""The state of hard negative mining: the indices of the negatives, not their features, so that it is small to write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detect.training.svm.arrays import read_arrays, write_arrays

_NAMES = ("done", "weight", "bias", "trained", "added", "counts", "negatives")


@dataclass(frozen=True)
class MiningState:
    """The state of the mining between two images.

    done: images mined so far; weight (K, F), bias (K,): the current SVMs; trained (K,): whether each has been trained;
    added (K,): negatives added since then; negatives: K times (M, 2), image and row of each, in order.
    """

    done: int
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    trained: NDArray[np.bool_]
    added: NDArray[np.int64]
    negatives: tuple[NDArray[np.int64], ...]

    @classmethod
    def initial(cls, num_classes: int, length: int) -> MiningState:
        """Return the state before the first image."""
        return cls(
            done=0,
            weight=np.zeros((num_classes, length), np.float32),
            bias=np.zeros(num_classes, np.float32),
            trained=np.zeros(num_classes, np.bool_),
            added=np.zeros(num_classes, np.int64),
            negatives=tuple(np.zeros((0, 2), np.int64) for _ in range(num_classes)),
        )


def write_state(path: Path, state: MiningState) -> None:
    """Write the state to an ``.npz``, completely or not at all. Raises RunError."""
    counts = np.array([len(keys) for keys in state.negatives], np.int64)
    negatives = np.concatenate([np.zeros((0, 2), np.int64), *state.negatives])
    arrays = (np.array(state.done), state.weight, state.bias, state.trained, state.added, counts, negatives)
    write_arrays(path, dict(zip(_NAMES, arrays, strict=True)))


def read_state(path: Path) -> MiningState:
    """Read a state that ``write_state`` wrote; raise UserError if the file is something else."""
    arrays = read_arrays(path, "the state of a mining of negatives", _NAMES)
    done, weight, bias, trained, added, counts, negatives = arrays
    ends = np.cumsum(counts)
    by_class = tuple(np.split(negatives, ends[:-1])) if len(ends) else ()
    return MiningState(done=int(done), weight=weight, bias=bias, trained=trained, added=added, negatives=by_class)
