"""The record of the regions of a photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RegionFeatures:
    """The regions of a photo, best first; the last one is the whole photo, the only one where nothing was detected.

    boxes (R, 4) float32 x1 y1 x2 y2 in pixels of the photo; features (R, F) float32; labels (R,) int64 in 1..K of the
    detector, 0 for the whole photo; scores (R,) float32 in 0..1, 0 for the whole photo.
    """

    boxes: np.ndarray
    features: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.boxes)
        shapes = {"boxes": (count, 4), "features": (count, *self.features.shape[1:2])}
        shapes |= {"labels": (count,), "scores": (count,)}
        for name, shape in shapes.items():
            actual = getattr(self, name).shape
            if actual != shape or not count:
                raise ValueError(f"RegionFeatures.{name}: expected {shape} and a row or more, found {actual}")

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def whole_photo(self) -> np.ndarray:
        """The features (F,) of the whole photo."""
        return np.asarray(self.features[-1])
