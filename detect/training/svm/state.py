"""How far the mining of hard negatives has come: where the negatives lie, not they, so that it is soon written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detect.training.svm.arrays import read_arrays, write_arrays

_NAMES = ("done", "weight", "bias", "trained", "added", "counts", "negatives")


@dataclass(frozen=True)
class MiningState:
    """done: images looked at; weight (K, F), bias (K,): the SVMs of the moment; trained (K,): whether there is one;
    added (K,): negatives since; negatives: K times (M, 2), image and row of each, in order.
    """

    done: int
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    trained: NDArray[np.bool_]
    added: NDArray[np.int64]
    negatives: tuple[NDArray[np.int64], ...]

    @classmethod
    def fresh(cls, classes: int, length: int) -> MiningState:
        """Before the first image."""
        return cls(
            0,
            np.zeros((classes, length), np.float32),
            np.zeros(classes, np.float32),
            np.zeros(classes, np.bool_),
            np.zeros(classes, np.int64),
            tuple(np.zeros((0, 2), np.int64) for _ in range(classes)),
        )


def write_state(path: Path, state: MiningState) -> None:
    """Write an ``.npz``, whole or not at all. Raises WorkError."""
    counts = np.array([len(keys) for keys in state.negatives], np.int64)
    negatives = np.concatenate([np.zeros((0, 2), np.int64), *state.negatives])
    arrays = (np.array(state.done), state.weight, state.bias, state.trained, state.added, counts, negatives)
    write_arrays(path, dict(zip(_NAMES, arrays, strict=True)))


def read_state(path: Path) -> MiningState:
    """What ``write_state`` wrote; UserError where the file is something else."""
    arrays = read_arrays(path, "the state of a mining of negatives", _NAMES)
    done, weight, bias, trained, added, counts, negatives = arrays
    ends = np.cumsum(counts)
    by_class = tuple(np.split(negatives, ends[:-1])) if len(ends) else ()
    return MiningState(int(done), weight, bias, trained, added, by_class)
