"""One linear SVM for each class, trained with hard negatives (R-CNN, section 2.3; Felzenszwalb et al. 2010).

The background regions of a data set do not fit into memory. So one pass over the images collects those that the current
SVM scores as an object or nearly so, and retrains it at intervals on those collected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detect.training.svm.examples import Features, RegionLabelSource, Rows
from detect.training.svm.linear_svm import SvmConfig, fit_svm
from detect.training.svm.state import MiningState

NEVER_FIRES = np.float32(-100.0)  # the margin of a class without examples: its score is 0


@dataclass(frozen=True)
class MiningConfig:
    """The settings of the mining, with R-CNN's values.

    A region is a negative of a class if its IoU with every object of that class is below ``negative_iou``, or is 0
    where ``negative_iou`` is 0. It is collected if its margin is above ``hard_margin``. After ``retrain_every`` new
    ones the SVM is retrained, and negatives with a margin below ``easy_margin`` are dropped.
    """

    svm: SvmConfig = field(default_factory=SvmConfig)
    negative_iou: float = 0.3
    retrain_every: int = 2000
    hard_margin: float = -1.0001
    easy_margin: float = -1.2


@dataclass
class _Negatives:
    """The negatives of one class: their features in a block per image, which avoids copies, and their sources."""

    rows: list[Rows] = field(default_factory=list)
    keys: list[NDArray[np.int64]] = field(default_factory=list)  # (n, 2): image, row

    def __len__(self) -> int:
        return sum(map(len, self.rows))

    def keep(self, masks: list[NDArray[np.bool_]]) -> None:
        """Keep the negatives of each block where its mask (n,) is true."""
        filled = [index for index, mask in enumerate(masks) if mask.any()]
        self.rows = [self.rows[index][masks[index]] for index in filled]
        self.keys = [self.keys[index][masks[index]] for index in filled]


class HardNegativeMining:
    """One pass over the images; ``state`` between any two of them is enough to resume it, bit for bit.

    It holds in memory the features of the objects and of the hard negatives of each class, in the dtype of ``features``
    (2000 to 10,000 negatives per class), and the input of ``fit_svm`` for one class at a time.
    """

    def __init__(
        self,
        features: Features,
        region_labels: RegionLabelSource,
        num_classes: int,
        length: int,
        scale: float,
        config: MiningConfig | None = None,
        state: MiningState | None = None,
    ) -> None:
        """Start a pass, or resume it from ``state``.

        features: of ``length`` numbers, with a mean norm of 20 when multiplied by ``scale`` (``feature_scale``).
        """
        self.features = features
        self.region_labels = region_labels
        self.scale = scale
        self.config = config or MiningConfig()
        initial = state or MiningState.initial(num_classes, length)
        self.done = initial.done
        self.weight, self.bias = initial.weight.copy(), initial.bias.copy()
        self.trained, self.added = initial.trained.copy(), initial.added.copy()
        self.positives = _positives(features, region_labels, num_classes, length)
        self.negatives = [_load_negatives(features, keys) for keys in initial.negatives]

    def run(self) -> Iterator[int]:
        """Mine the images still to do and yield the number of images done after each; the caller can stop anywhere."""
        while self.done < len(self.features):
            self._mine_image(self.done)
            self.done += 1
            yield self.done

    def state(self) -> MiningState:
        """Return the state from which a later pass over the same images ends with the same SVMs."""
        none = np.zeros((0, 2), np.int64)
        return MiningState(
            done=self.done,
            weight=self.weight.copy(),
            bias=self.bias.copy(),
            trained=self.trained.copy(),
            added=self.added.copy(),
            negatives=tuple(np.concatenate([none, *negatives.keys]) for negatives in self.negatives),
        )

    def svms(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return weight (K, F) and bias (K,), which give the margins of unscaled features.

        A class without objects or without negatives never fires: its margin is -100.
        """
        return self.weight.copy(), np.where(self.trained, self.bias, NEVER_FIRES)

    def _mine_image(self, image: int) -> None:
        rows, labels = self.features[image], self.region_labels[image]
        margins = rows.astype(np.float32) @ self.weight.T + self.bias  # (P, K)
        threshold = self.config.negative_iou
        is_negative = labels.overlaps < threshold if threshold else labels.overlaps == 0  # no IoU is below 0
        hard = is_negative & ((margins > self.config.hard_margin) | ~self.trained)
        last = image == len(self.features) - 1
        for class_index, negatives in enumerate(self.negatives):
            hard_rows = hard[:, class_index].nonzero()[0]
            if len(hard_rows) and len(self.positives[class_index]):
                negatives.rows.append(rows[hard_rows])
                negatives.keys.append(np.stack([np.full_like(hard_rows, image), hard_rows], 1))
                self.added[class_index] += len(hard_rows)
            if len(negatives) and (
                last or not self.trained[class_index] or self.added[class_index] > self.config.retrain_every
            ):
                self._train(class_index)

    def _train(self, class_index: int) -> None:
        """Retrain the SVM of one class, then drop the negatives that it scores far below its margin."""
        negatives = self.negatives[class_index]
        self.weight[class_index], self.bias[class_index] = fit_svm(
            self.positives[class_index], np.concatenate(negatives.rows), self.scale, self.config.svm
        )
        self.trained[class_index], self.added[class_index] = True, 0
        weight, bias = self.weight[class_index], self.bias[class_index]
        negatives.keep(
            [block.astype(np.float32) @ weight + bias >= self.config.easy_margin for block in negatives.rows]
        )


def _positives(features: Features, region_labels: RegionLabelSource, num_classes: int, length: int) -> list[Rows]:
    """Return the features of the objects of each class, K times (A, F)."""
    rows_by_class: list[list[Rows]] = [[] for _ in range(num_classes)]
    for image in range(len(features)):
        labels, rows = region_labels[image].labels, features[image]
        for row in labels.nonzero()[0]:
            rows_by_class[labels[row] - 1].append(np.array(rows[row : row + 1]))
    return [np.concatenate(rows) if rows else np.zeros((0, length), np.float32) for rows in rows_by_class]


def _load_negatives(features: Features, keys: NDArray[np.int64]) -> _Negatives:
    """Return the negatives with keys (M, 2), image and row, read from the features, in a block per image."""
    images, starts = np.unique(keys[:, 0], return_index=True)
    blocks = np.split(keys, starts[1:]) if len(keys) else []
    rows = [np.array(features[int(image)][block[:, 1]]) for image, block in zip(images, blocks, strict=True)]
    return _Negatives(rows=rows, keys=list(blocks))
