"""One linear SVM for each class, trained with hard negatives (R-CNN, section 2.3; Felzenszwalb et al. 2010).

No memory holds the regions of a data set that are not an object of a class. So one pass over the images collects those
that the SVM of the moment takes for one or nearly so, and now and then trains it anew on what it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detect.training.svm.examples import Features, Roles, Rows
from detect.training.svm.linear_svm import SvmRule, fit_svm
from detect.training.svm.state import MiningState

NEVER = np.float32(-100.0)  # the margin of a class that no example teaches: its score is 0


@dataclass(frozen=True)
class MiningRule:
    """R-CNN's numbers.

    A region is a negative of a class when its IoU with every object of it is under ``overlap``, and is kept when its
    margin is above ``hard``; after ``retrain`` new ones the SVM is trained, and those below ``evict`` are let go.
    """

    svm: SvmRule = field(default_factory=SvmRule)
    overlap: float = 0.3
    retrain: int = 2000
    hard: float = -1.0001
    evict: float = -1.2


@dataclass
class _Negatives:
    """Of one class: the rows kept, in blocks of an image each, and where they come from. Blocks spare copies."""

    rows: list[Rows] = field(default_factory=list)
    keys: list[NDArray[np.int64]] = field(default_factory=list)  # (n, 2): image, row

    def __len__(self) -> int:
        return sum(map(len, self.rows))

    def keep(self, chosen: list[NDArray[np.bool_]]) -> None:
        """Those of each block that are named."""
        kept = [place for place, block in enumerate(chosen) if block.any()]
        self.rows = [self.rows[place][chosen[place]] for place in kept]
        self.keys = [self.keys[place][chosen[place]] for place in kept]


class Mining:
    """One pass over the images; ``state`` between any two of them is enough to go on, bit for bit.

    In memory lie the objects' features and the hard negatives of each class, as many bytes as the numbers of
    ``features`` have (2000 to 10,000 negatives a class), and what ``fit_svm`` takes for one class at a time.
    """

    def __init__(
        self,
        features: Features,
        roles: Roles,
        classes: int,
        length: int,
        scale: float,
        rule: MiningRule | None = None,
        state: MiningState | None = None,
    ) -> None:
        """Features of ``length`` numbers, of mean norm 20 when multiplied by ``scale`` (``feature_scale``)."""
        self.features = features
        self.roles = roles
        self.scale = scale
        self.rule = rule or MiningRule()
        start = state or MiningState.fresh(classes, length)
        self.done = start.done
        self.weight, self.bias = start.weight.copy(), start.bias.copy()
        self.trained, self.added = start.trained.copy(), start.added.copy()
        self.positives = _positives(features, roles, classes, length)
        self.negatives = [_read(features, keys) for keys in start.negatives]

    def run(self) -> Iterator[int]:
        """Look at the images that are left, one for each item: the number done so far. Stop between items at will."""
        while self.done < len(self.features):
            self._look(self.done)
            self.done += 1
            yield self.done

    def state(self) -> MiningState:
        """All that a later ``Mining`` of the same images needs to end with the same SVMs."""
        none = np.zeros((0, 2), np.int64)
        return MiningState(
            self.done,
            self.weight.copy(),
            self.bias.copy(),
            self.trained.copy(),
            self.added.copy(),
            tuple(np.concatenate([none, *negatives.keys]) for negatives in self.negatives),
        )

    def svms(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """weight (K, F), bias (K,): margins of raw features. A class without objects or without negatives: never."""
        return self.weight.copy(), np.where(self.trained, self.bias, NEVER)

    def _look(self, image: int) -> None:
        rows, roles = self.features[image], self.roles[image]
        margins = rows.astype(np.float32) @ self.weight.T + self.bias  # (P, K)
        hard = (roles.overlaps < self.rule.overlap) & ((margins > self.rule.hard) | ~self.trained)
        last = image == len(self.features) - 1
        for place, negatives in enumerate(self.negatives):
            chosen = hard[:, place].nonzero()[0]
            if len(chosen) and len(self.positives[place]):
                negatives.rows.append(rows[chosen])
                negatives.keys.append(np.stack([np.full_like(chosen, image), chosen], 1))
                self.added[place] += len(chosen)
            if len(negatives) and (last or not self.trained[place] or self.added[place] > self.rule.retrain):
                self._train(place)

    def _train(self, place: int) -> None:
        """The SVM of one class anew; then let go what it puts far away."""
        negatives = self.negatives[place]
        self.weight[place], self.bias[place] = fit_svm(
            self.positives[place], np.concatenate(negatives.rows), self.scale, self.rule.svm
        )
        self.trained[place], self.added[place] = True, 0
        weight, bias = self.weight[place], self.bias[place]
        negatives.keep([block.astype(np.float32) @ weight + bias >= self.rule.evict for block in negatives.rows])


def _positives(features: Features, roles: Roles, classes: int, length: int) -> list[Rows]:
    """The features of the objects of each class, K times (A, F)."""
    found: list[list[Rows]] = [[] for _ in range(classes)]
    for image in range(len(features)):
        labels, rows = roles[image].labels, features[image]
        for row in labels.nonzero()[0]:
            found[labels[row] - 1].append(np.array(rows[row : row + 1]))
    return [np.concatenate(rows) if rows else np.zeros((0, length), np.float32) for rows in found]


def _read(features: Features, keys: NDArray[np.int64]) -> _Negatives:
    """The negatives that were kept, from where they came, in the same blocks."""
    images, starts = np.unique(keys[:, 0], return_index=True)
    blocks = np.split(keys, starts[1:]) if len(keys) else []
    rows = [np.array(features[int(image)][block[:, 1]]) for image, block in zip(images, blocks, strict=True)]
    return _Negatives(rows, list(blocks))
