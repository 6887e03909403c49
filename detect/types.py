"""The records that flow through a detector, and every convention in one paragraph.

Boxes are float ``x1 y1 x2 y2`` in continuous pixels, 0-based; the width is ``x2 - x1``. A pixel is a unit square, so
the box of the pixels a..b inclusive is ``(a, b + 1)``. Files that count otherwise (VOC is 1-based and inclusive) are
converted where they are read and written, nowhere else. Sizes are ``(height, width)`` of the picture after its EXIF
rotation. Label 0 is background, classes are 1..K. An image without objects is legal everywhere. Records check shape
and dtype when they are made, never values: reading a value would make a GPU wait.

Letters: N images, G targets, P proposals, S samples, D detections, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

Size = tuple[int, int]  # height, width


def _check(name: str, value: Tensor, shape: tuple[int | None, ...], dtype: torch.dtype | None = None) -> None:
    """Raise ValueError unless ``value`` has ``shape`` (None: any length) and ``dtype`` (None: any float)."""
    fits = value.dim() == len(shape) and all(
        want is None or want == got for want, got in zip(shape, value.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name}: expected shape {shape}, found {tuple(value.shape)}")
    if dtype is None and not value.is_floating_point():
        raise ValueError(f"{name}: expected floats, found {value.dtype}")
    if dtype is not None and value.dtype != dtype:
        raise ValueError(f"{name}: expected {dtype}, found {value.dtype}")


@dataclass(frozen=True)
class Proposals:
    """Boxes that may hold something, best first.

    boxes (P, 4); scores (P,); source (P,) int64 or None: the anchor, or the rank in a file, that each came from.
    """

    boxes: Tensor
    scores: Tensor
    source: Tensor | None = None

    def __post_init__(self) -> None:
        _check("Proposals.boxes", self.boxes, (None, 4))
        _check("Proposals.scores", self.scores, (len(self.boxes),))
        if self.source is not None:
            _check("Proposals.source", self.source, (len(self.boxes),), torch.int64)

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Images:
    """A batch on one canvas, padded on the right and at the bottom.

    pixels (N, 3, H, W), normalised; sizes: N times the (h, w) that is picture, the rest is padding; keys: N integers,
    the root of every random draw made for that image (see randomness.py); given: N proposals in canvas pixels, or None.
    """

    pixels: Tensor
    sizes: tuple[Size, ...]
    keys: tuple[int, ...]
    given: tuple[Proposals, ...] | None = None

    def __post_init__(self) -> None:
        _check("Images.pixels", self.pixels, (len(self.sizes), 3, None, None))
        if len(self.keys) != len(self.sizes):
            raise ValueError(f"Images.keys: expected {len(self.sizes)}, found {len(self.keys)}")
        if self.given is not None and len(self.given) != len(self.sizes):
            raise ValueError(f"Images.given: expected {len(self.sizes)} sets of proposals, found {len(self.given)}")

    def __len__(self) -> int:
        return len(self.sizes)


@dataclass(frozen=True)
class Targets:
    """The ground truth of one image: boxes (G, 4); labels (G,) int64 in 1..K; difficult and crowd (G,) bool."""

    boxes: Tensor
    labels: Tensor
    difficult: Tensor
    crowd: Tensor

    def __post_init__(self) -> None:
        _check("Targets.boxes", self.boxes, (None, 4))
        _check("Targets.labels", self.labels, (len(self.boxes),), torch.int64)
        _check("Targets.difficult", self.difficult, (len(self.boxes),), torch.bool)
        _check("Targets.crowd", self.crowd, (len(self.boxes),), torch.bool)

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Samples:
    """Proposals of one image chosen for training.

    boxes (S, 4); labels (S,) int64 in 0..K; matched (S, 4): the target box of each, anything where the label is 0.
    """

    boxes: Tensor
    labels: Tensor
    matched: Tensor

    def __post_init__(self) -> None:
        _check("Samples.boxes", self.boxes, (None, 4))
        _check("Samples.labels", self.labels, (len(self.boxes),), torch.int64)
        _check("Samples.matched", self.matched, (len(self.boxes), 4))

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Detections:
    """The answer for one image, best first.

    boxes (D, 4); scores (D,) in 0..1; labels (D,) int64 in 1..K; source (D,) int64 or None: the proposal each came
    from; classes: the K names, so that ``names()`` needs nothing else (empty when the maker has no names).
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    source: Tensor | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check("Detections.boxes", self.boxes, (None, 4))
        _check("Detections.scores", self.scores, (len(self.boxes),))
        _check("Detections.labels", self.labels, (len(self.boxes),), torch.int64)
        if self.source is not None:
            _check("Detections.source", self.source, (len(self.boxes),), torch.int64)

    def __len__(self) -> int:
        return len(self.boxes)

    def names(self) -> list[str]:
        """The class name of each detection."""
        return [self.classes[label - 1] for label in self.labels.tolist()]

    def above(self, score: float) -> Detections:
        """Those whose score is at least ``score``."""
        return self.select(self.scores >= score)

    def select(self, chosen: Tensor) -> Detections:
        """Those named by ``chosen``: a bool mask (D,) or int64 indices."""
        source = None if self.source is None else self.source[chosen]
        return Detections(self.boxes[chosen], self.scores[chosen], self.labels[chosen], source, self.classes)


def to_device(images: Images, device: torch.device) -> Images:
    """The same images on a device; the copy runs beside the computation where memory is pinned."""
    given = images.given
    if given is not None:
        given = tuple(
            Proposals(p.boxes.to(device), p.scores.to(device), None if p.source is None else p.source.to(device))
            for p in given
        )
    return Images(images.pixels.to(device, non_blocking=True), images.sizes, images.keys, given)


def targets_to(targets: Iterable[Targets], device: torch.device) -> tuple[Targets, ...]:
    """The same targets on a device."""
    return tuple(
        Targets(t.boxes.to(device), t.labels.to(device), t.difficult.to(device), t.crowd.to(device)) for t in targets
    )


@dataclass(frozen=True)
class Mean:
    """A loss that is a mean, and over how many: with that, the means of several processes make one."""

    value: Tensor
    over: int
