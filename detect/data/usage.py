"""Counts how many boxes and images of a data set were kept, dropped, clipped or skipped while it was read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from detect.data.annotations import Annotations, DroppedBox
from detect.data.findings import FINDING_KINDS, DatasetFinding
from detect.errors import UserError


@dataclass(frozen=True)
class DataUsage:
    """Counts of the boxes and images of a data set, by how they are used.

    Every box is kept, dropped or clipped; every image is kept or skipped. kept: boxes used as they are; dropped: number
    of boxes for each reason; clipped: boxes that reach outside their image, which training clips; images: images kept;
    skipped: images without labels; noted: number of other faults that the readers met, for each title of their kind.
    """

    kept: int
    dropped: Mapping[str, int]
    clipped: int
    images: int
    skipped: int
    noted: Mapping[str, int] = field(default_factory=dict)

    @property
    def boxes(self) -> int:
        """Return the number of boxes in the label files."""
        return self.kept + sum(self.dropped.values()) + self.clipped

    def __str__(self) -> str:
        dropped = sum(self.dropped.values())
        boxes = f"{self.kept} kept + {dropped} dropped + {self.clipped} clipped = {self.boxes} found"
        return (
            f"boxes: {boxes}; images: {self.images} kept + {self.skipped} skipped = {self.images + self.skipped} found"
        )


def data_usage(parts: Sequence[Annotations], findings: Sequence[DatasetFinding] = ()) -> DataUsage:
    """Count the boxes and images of all parts together.

    A box that two parts of the same split report as dropped counts once. findings: what the readers noted; an image
    without labels is skipped if it is in no part, as in VOC, and noted if it trains as one without objects, as in YOLO.
    """
    files = {part.file(index) for part in parts for index in range(len(part))} if findings else set()
    skipped = skipped_images(findings, files)
    noted = [finding for finding in findings if finding not in skipped]
    boxes = sum(len(part.boxes) for part in parts)
    clipped = sum(_count_boxes_outside(part) for part in parts)
    dropped = dict.fromkeys(box for part in parts for box in part.dropped)
    return DataUsage(
        boxes - clipped, count_reasons(list(dropped)), clipped, sum(map(len, parts)), len(skipped), count_titles(noted)
    )


def skipped_images(findings: Sequence[DatasetFinding], files: Collection[str]) -> list[DatasetFinding]:
    """Return the findings of images without labels that are not among the ``files`` in use."""
    return [finding for finding in findings if finding.kind == "unlabelled-image" and finding.file not in files]


def count_titles(findings: Sequence[DatasetFinding]) -> Mapping[str, int]:
    """Count faults by the title of their kind; notes on how labels were understood are none."""
    return Counter(FINDING_KINDS[finding.kind].title for finding in findings if finding.is_fault)


def count_reasons(dropped: Sequence[DroppedBox]) -> Mapping[str, int]:
    """Count the dropped boxes by reason, without the numbers that a reason contains.

    The reasons are, for example, "a box without extent" and "a box outside its image".
    """
    return Counter(re.sub(r" \d+ x \d+", "", box.reason.partition(":")[0]) for box in dropped)


def require_clean(usage: DataUsage, name: str) -> None:
    """Raise UserError, with ``name`` in its message.

    It is raised if a box was dropped or clipped, an image skipped, or a fault noted.
    """
    counts = {
        **usage.dropped,
        "boxes that reach outside their image": usage.clipped,
        "images without labels": usage.skipped,
        **usage.noted,
    }
    listed = ", ".join(f"{count} x {kind}" for kind, count in counts.items() if count)
    if listed:
        raise UserError(f"--strict: {name}: expected nothing to drop, clip or skip, found {listed}")


def _count_boxes_outside(part: Annotations) -> int:
    """Count the boxes that have a corner outside their image."""
    counts = part.offsets[1:] - part.offsets[:-1]
    limits = part.sizes[:, ::-1].repeat(counts, axis=0)  # (T, 2), width and height
    return int(((part.boxes[:, :2] < 0) | (part.boxes[:, 2:] > limits)).any(1).sum())
