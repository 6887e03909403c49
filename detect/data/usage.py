"""What became of the boxes and images of a data set while it was read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detect.data.annotations import Annotations, DroppedBox
from detect.errors import UserError


@dataclass(frozen=True)
class Account:
    """Of boxes found = kept + dropped + repaired, of images found = kept + skipped.

    repaired: boxes that reach outside their picture, which training clips; dropped: how many for each reason; skipped:
    images that nothing labels.
    """

    kept: int
    dropped: Mapping[str, int]
    repaired: int
    images: int
    skipped: int

    @property
    def boxes(self) -> int:
        """How many the label files hold."""
        return self.kept + sum(self.dropped.values()) + self.repaired

    def __str__(self) -> str:
        dropped = sum(self.dropped.values())
        boxes = f"{self.kept} kept + {dropped} dropped + {self.repaired} repaired (clipped) = {self.boxes} found"
        return (
            f"boxes: {boxes}; images: {self.images} kept + {self.skipped} skipped = {self.images + self.skipped} found"
        )


def account(parts: Sequence[Annotations], skipped: int = 0) -> Account:
    """Of all the parts together; a box that two parts of one list report as dropped is one."""
    boxes = sum(len(part.boxes) for part in parts)
    repaired = sum(_reaching_outside(part) for part in parts)
    dropped = dict.fromkeys(box for part in parts for box in part.dropped)
    return Account(boxes - repaired, reasons(list(dropped)), repaired, sum(map(len, parts)), skipped)


def reasons(dropped: Sequence[DroppedBox]) -> Mapping[str, int]:
    """How many for each reason, its numbers left out: "a box without extent", "a box outside its picture"."""
    return Counter(re.sub(r" \d+ x \d+", "", box.reason.partition(":")[0]) for box in dropped)


def require_flawless(found: Account, what: str) -> None:
    """Raise UserError, for ``what``, where a box was dropped or repaired or an image skipped."""
    kinds = {
        **found.dropped,
        "boxes that reach outside their picture": found.repaired,
        "images without labels": found.skipped,
    }
    listed = ", ".join(f"{count} x {kind}" for kind, count in kinds.items() if count)
    if listed:
        raise UserError(f"--strict: {what}: expected nothing to drop, repair or skip, found {listed}")


def _reaching_outside(part: Annotations) -> int:
    """How many boxes have a corner that is not in their picture."""
    counts = part.offsets[1:] - part.offsets[:-1]
    ends = part.sizes[:, ::-1].repeat(counts, axis=0)  # (T, 2), width and height
    return int(((part.boxes[:, :2] < 0) | (part.boxes[:, 2:] > ends)).any(1).sum())
