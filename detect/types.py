"""The records that pass through a detector, and every convention in one paragraph.

Boxes are float ``x1 y1 x2 y2`` in continuous pixels, 0-based; the width is ``x2 - x1``. A pixel is a unit square, so
the box of the pixels a..b inclusive is ``(a, b + 1)``. Files with another convention (VOC is 1-based and inclusive) are
converted only where they are read and written. Sizes are ``(height, width)`` of the image after its EXIF rotation.
Label 0 is background, classes are 1..K. An image without objects is valid everywhere. Records check shape and dtype
when they are created but never values: reading a value would make a GPU wait.

Letters: N images, G targets, P proposals, S samples, D detections, K classes, M x M cells of a predicted mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self, overload

import numpy as np
import torch
from torch import Tensor

Size = tuple[int, int]  # height, width


def _check(name: str, value: Tensor, shape: tuple[int | None, ...], dtype: torch.dtype | None = None) -> None:
    """Raise ValueError unless ``value`` has ``shape`` (None: any length) and ``dtype`` (None: any float)."""
    fits = value.dim() == len(shape) and all(
        expected is None or expected == actual for expected, actual in zip(shape, value.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name}: expected shape {shape}, found {tuple(value.shape)}")
    if dtype is None and not value.is_floating_point():
        raise ValueError(f"{name}: expected floats, found {value.dtype}")
    if dtype is not None and value.dtype != dtype:
        raise ValueError(f"{name}: expected {dtype}, found {value.dtype}")


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return ``tensor`` on ``device``; the host waits only for a copy to itself, which it could read too early."""
    return tensor.to(device, non_blocking=device.type == "cuda")


@dataclass(frozen=True)
class Proposals:
    """Class-agnostic boxes that may contain an object, best first.

    boxes (P, 4); scores (P,); source_index (P,) int64 or None: the anchor, or the rank in a file, that each came from.
    """

    boxes: Tensor
    scores: Tensor
    source_index: Tensor | None = None

    def __post_init__(self) -> None:
        _check("Proposals.boxes", self.boxes, (None, 4))
        _check("Proposals.scores", self.scores, (len(self.boxes),))
        if self.source_index is not None:
            _check("Proposals.source_index", self.source_index, (len(self.boxes),), torch.int64)

    def __len__(self) -> int:
        return len(self.boxes)

    def to(self, device: torch.device) -> Proposals:
        """Return the same proposals on ``device``."""
        source_index = None if self.source_index is None else _moved(self.source_index, device)
        return Proposals(_moved(self.boxes, device), _moved(self.scores, device), source_index)

    def pin_memory(self) -> Proposals:
        """Return the same proposals in pinned memory, from which a GPU copies while the host goes on."""
        source_index = None if self.source_index is None else self.source_index.pin_memory()
        return Proposals(self.boxes.pin_memory(), self.scores.pin_memory(), source_index)


@dataclass(frozen=True)
class Images:
    """A batch of images, padded on the right and at the bottom to one size.

    pixels (N, 3, H, W), normalized; sizes: N times the (h, w) of the image inside the padding; seeds: N integers, the
    root of every random draw made for that image (see randomness.py); proposals: N precomputed proposals in pixels of
    the padded image, or None.
    """

    pixels: Tensor
    sizes: tuple[Size, ...]
    seeds: tuple[int, ...]
    proposals: tuple[Proposals, ...] | None = None

    def __post_init__(self) -> None:
        _check("Images.pixels", self.pixels, (len(self.sizes), 3, None, None))
        if len(self.seeds) != len(self.sizes):
            raise ValueError(f"Images.seeds: expected {len(self.sizes)}, found {len(self.seeds)}")
        if self.proposals is not None and len(self.proposals) != len(self.sizes):
            raise ValueError(f"Images.proposals: expected {len(self.sizes)}, found {len(self.proposals)}")

    def __len__(self) -> int:
        return len(self.sizes)

    def to(self, device: torch.device) -> Images:
        """Return the same batch on ``device``; from pinned memory the pixels are copied asynchronously."""
        proposals = None if self.proposals is None else tuple(p.to(device) for p in self.proposals)
        return Images(_moved(self.pixels, device), self.sizes, self.seeds, proposals)

    def pin_memory(self) -> Images:
        """Return the same batch in pinned memory, from which a GPU copies while the host goes on."""
        proposals = None if self.proposals is None else tuple(p.pin_memory() for p in self.proposals)
        return Images(self.pixels.pin_memory(), self.sizes, self.seeds, proposals)


@dataclass(frozen=True)
class Targets:
    """The ground truth of one image.

    boxes (G, 4); labels (G,) int64 in 1..K; difficult and crowd (G,) bool; masks (G, H, W) bool or None: the pixels of
    each object, at the size of the image that the boxes are in (without its padding), of a crowd its region. None where
    the model asks for none.
    """

    boxes: Tensor
    labels: Tensor
    difficult: Tensor
    crowd: Tensor
    masks: Tensor | None = None

    def __post_init__(self) -> None:
        _check("Targets.boxes", self.boxes, (None, 4))
        _check("Targets.labels", self.labels, (len(self.boxes),), torch.int64)
        _check("Targets.difficult", self.difficult, (len(self.boxes),), torch.bool)
        _check("Targets.crowd", self.crowd, (len(self.boxes),), torch.bool)
        if self.masks is not None:
            _check("Targets.masks", self.masks, (len(self.boxes), None, None), torch.bool)

    def __len__(self) -> int:
        return len(self.boxes)

    def to(self, device: torch.device) -> Targets:
        """Return the same targets on ``device``."""
        fields = (self.boxes, self.labels, self.difficult, self.crowd)
        boxes, labels, difficult, crowd = (_moved(tensor, device) for tensor in fields)
        masks = None if self.masks is None else _moved(self.masks, device)
        return Targets(boxes, labels, difficult, crowd, masks)

    def pin_memory(self) -> Targets:
        """Return the same targets in pinned memory, from which a GPU copies while the host goes on."""
        fields = (self.boxes, self.labels, self.difficult, self.crowd)
        boxes, labels, difficult, crowd = (tensor.pin_memory() for tensor in fields)
        masks = None if self.masks is None else self.masks.pin_memory()
        return Targets(boxes, labels, difficult, crowd, masks)


@dataclass(frozen=True)
class Samples:
    """Proposals of one image sampled for training.

    boxes (S, 4); labels (S,) int64 in 0..K; matched_boxes (S, 4) and target_index (S,) int64: the target of each, its
    box and its index, arbitrary where the label is 0.
    """

    boxes: Tensor
    labels: Tensor
    matched_boxes: Tensor
    target_index: Tensor

    def __post_init__(self) -> None:
        _check("Samples.boxes", self.boxes, (None, 4))
        _check("Samples.labels", self.labels, (len(self.boxes),), torch.int64)
        _check("Samples.matched_boxes", self.matched_boxes, (len(self.boxes), 4))
        _check("Samples.target_index", self.target_index, (len(self.boxes),), torch.int64)

    def __len__(self) -> int:
        return len(self.boxes)


class Detection(NamedTuple):
    """One detection.

    box: x1 y1 x2 y2 in pixels; score in 0..1; label: the number of the class, in 1..K: programs that count classes from
    0 (supervision, ultralytics, YOLO's files) call it ``label - 1``; name: of the class, empty if no names are known.
    """

    box: tuple[float, float, float, float]
    score: float
    label: int
    name: str

    def __str__(self) -> str:
        """Return the class, the score and the box: ``dog 0.98 at 10.0 20.0 110.5 80.0``."""
        corners = " ".join(f"{side:.1f}" for side in self.box)
        return f"{self.name or f'label {self.label}'} {self.score:.2f} at {corners}"


@dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """The detections of one image, best first.

    boxes (D, 4); scores (D,) in 0..1; labels (D,) int64 in 1..K; proposal_index (D,) int64 or None: the proposal each
    came from; classes: the K names, so that ``names()`` needs nothing else (empty if no names are known); masks
    (D, M, M) float32 or None: the probability, 0 to 1, that each of M x M cells of the box belongs to the object. As
    they are relative to the box, they stay as they are when boxes are scaled or moved; ``ops.masks.paste_masks`` puts
    them on the image. None where the model has no mask head.

    Labels count from 1, as 0 is background: the name of label k is ``classes[k - 1]``. ``detections[0]`` is the best
    Detection, and a loop gives one after the other; ``detections[:5]`` and ``detections[detections.scores > 0.9]`` are
    Detections. Two are equal if all their tensors and classes are.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    proposal_index: Tensor | None = None
    classes: tuple[str, ...] = ()
    masks: Tensor | None = None

    def __post_init__(self) -> None:
        _check("Detections.boxes", self.boxes, (None, 4))
        _check("Detections.scores", self.scores, (len(self.boxes),))
        _check("Detections.labels", self.labels, (len(self.boxes),), torch.int64)
        if self.proposal_index is not None:
            _check("Detections.proposal_index", self.proposal_index, (len(self.boxes),), torch.int64)
        if self.masks is not None:
            _check("Detections.masks", self.masks, (len(self.boxes), *self.masks.shape[-1:] * 2), torch.float32)

    def __len__(self) -> int:
        return len(self.boxes)

    def __str__(self) -> str:
        """Return a line for each detection: class, score, x1 y1 x2 y2 in pixels."""
        if not len(self):
            return "no detections"
        names = self.names() if self.classes else [f"label {label}" for label in self.labels.tolist()]
        width = max(map(len, names))
        rows = zip(names, self.scores.tolist(), self.boxes.tolist(), strict=True)
        return "\n".join(
            f"{name:<{width}}  {score:.2f}  {' '.join(f'{side:7.1f}' for side in box)}" for name, score, box in rows
        )

    def __repr__(self) -> str:
        """Return the number of detections and the best five: ``Detections(2: dog 0.98, cat 0.71)``."""
        best = [f"{detection.name or f'label {detection.label}'} {detection.score:.2f}" for detection in self[:5]]
        more = [f"{len(self) - 5} more"] if len(self) > 5 else []
        listed = f": {', '.join(best + more)}" if best else ""
        return f"{type(self).__name__}({len(self)}{listed}{', with masks' if self.masks is not None else ''})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Detections):
            return NotImplemented
        pairs = (
            (self.boxes, other.boxes),
            (self.scores, other.scores),
            (self.labels, other.labels),
            (self.proposal_index, other.proposal_index),
            (self.masks, other.masks),
        )
        return self.classes == other.classes and all(_are_equal(*pair) for pair in pairs)

    __hash__ = None  # type: ignore[assignment] # equal tensors have different hashes

    def __iter__(self) -> Iterator[Detection]:
        columns = (self.boxes.tolist(), self.scores.tolist(), self.labels.tolist())  # one wait for a GPU for each
        for (x1, y1, x2, y2), score, label in zip(*columns, strict=True):
            yield Detection((x1, y1, x2, y2), score, label, self.classes[label - 1] if self.classes else "")

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> Detection: ...

    @overload
    def __getitem__(self, index: slice | Tensor | Sequence[int]) -> Self: ...

    def __getitem__(self, index: int | np.integer[Any] | slice | Tensor | Sequence[int]) -> Detection | Self:
        """Return the Detection at an index, or the Detections of a slice, a bool mask (D,) or several indices.

        Raises IndexError for an index beyond the last.
        """
        if isinstance(index, slice):
            return self.select(torch.arange(len(self), device=self.boxes.device)[index])
        if isinstance(index, int | np.integer):
            if not -len(self) <= index < len(self):
                raise IndexError(f"expected an index below {len(self)}, the number of detections, found {index}")
            return next(iter(self.select(torch.tensor([int(index) % len(self)], device=self.boxes.device))))
        return self.select(index if isinstance(index, Tensor) else torch.as_tensor(index, device=self.boxes.device))

    def names(self) -> list[str]:
        """Return the class name of each detection."""
        return [self.classes[label - 1] for label in self.labels.tolist()]

    def above(self, score: float) -> Self:
        """Return the detections whose score is at least ``score``."""
        return self.select(self.scores >= score)

    def select(self, index: Tensor) -> Self:
        """Return the detections at ``index``: a bool mask (D,) or int64 indices."""
        index = index.nonzero().flatten() if index.dtype == torch.bool else index  # counted once, not for each field
        return replace(
            self,
            boxes=self.boxes[index],
            scores=self.scores[index],
            labels=self.labels[index],
            proposal_index=None if self.proposal_index is None else self.proposal_index[index],
            masks=None if self.masks is None else self.masks[index],
        )


def _are_equal(first: Tensor | None, second: Tensor | None) -> bool:
    """Return whether two tensors have the same device, dtype, shape and numbers, or both are None."""
    if first is None or second is None:
        return first is second
    return first.device == second.device and first.dtype == second.dtype and torch.equal(first, second)


@dataclass(frozen=True)
class MeanLoss:
    """A mean loss and the number of terms it is over, which makes means of several processes one global mean."""

    value: Tensor
    count: int
