"""Counts of a data set, and what anchors reach of it at several resolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from detect.data.annotations import Annotations
from detect.data.inspect.anchor_advice import advised_anchors
from detect.data.inspect.anchor_recall import best_overlaps, scaled
from detect.data.inspect.counts import QUANTILES, Tally, tally
from detect.ops.anchors import AnchorShapes
from detect.ops.preprocess import Preprocess

OVERLAPS = (0.5, 0.7)


@dataclass(frozen=True)
class AnchorPlan:
    """Anchors as a configuration sets them: shapes, pixels between the cells of each map, how far over the border."""

    shapes: AnchorShapes
    spacings: tuple[int, ...]
    outside: float | None


@dataclass(frozen=True)
class Reached:
    """Shares in 0..1 of the objects with an anchor of at least that IoU; per class (K, 2) as OVERLAPS, NaN for none.

    side: the middle square root of the objects' areas, in resized pixels.
    """

    min_size: int
    side: float
    shares: tuple[float, float]
    per_class: np.ndarray


@dataclass(frozen=True)
class Statistics:
    """reached: by the plan's anchors, one for each resolution, none without objects; advised: anchors for ``min_size``,
    and reached_by_advised what they reach; None without objects, and for a pyramid."""

    tally: Tally
    classes: tuple[str, ...]
    min_size: int
    reached: tuple[Reached, ...]
    advised: AnchorShapes | None
    reached_by_advised: Reached | None

    @property
    def settings(self) -> str:
        """The advised anchors as options to paste; empty where there are none."""
        if self.advised is None:
            return ""
        sides, ratios = (
            ",".join(f"{one:g}" for one in values) for values in (self.advised.sides[0], self.advised.ratios)
        )
        size = f"--set data.min_size={self.min_size}"
        return f"{size} --set model.rpn.sides=[{sides}] --set model.rpn.ratios=[{ratios}]"

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        content = asdict(self.tally) | {"quantiles": QUANTILES, "overlaps": OVERLAPS}
        content |= {"min_size": self.min_size, "reached": [self._plain(one) for one in self.reached], "advised": None}
        if self.advised is not None and self.reached_by_advised is not None:
            content["advised"] = {
                "sides": self.advised.sides[0],
                "ratios": self.advised.ratios,
                "reached": self._plain(self.reached_by_advised),
                "settings": self.settings,
            }
        return content

    def _plain(self, reached: Reached) -> dict[str, Any]:
        shares = [[None if np.isnan(share) else share for share in row] for row in reached.per_class.tolist()]
        return asdict(reached) | {"per_class": dict(zip(self.classes, shares, strict=True))}


def statistics(
    annotations: Annotations, preprocess: Preprocess, min_sizes: Sequence[int], plan: AnchorPlan, number: int
) -> Statistics:
    """Of one image or more.

    min_sizes: the resolutions to try beside that of ``preprocess``, for which anchors are advised; number: how many
    sides and how many ratios to advise.
    """
    counted = tally(annotations)
    if counted.objects == counted.crowd:
        return Statistics(counted, annotations.classes, preprocess.min_size, (), None, None)
    sizes = sorted({*min_sizes, preprocess.min_size})
    reached = [reach(annotations, replace(preprocess, min_size=size), plan) for size in sizes]
    if len(plan.spacings) > 1:
        return Statistics(counted, annotations.classes, preprocess.min_size, tuple(reached), None, None)
    objects = scaled(annotations, preprocess)
    shapes = advised_anchors(objects, plan.shapes, plan.spacings[0], plan.outside, number)
    advised = reach(annotations, preprocess, replace(plan, shapes=shapes))
    return Statistics(counted, annotations.classes, preprocess.min_size, tuple(reached), shapes, advised)


def reach(annotations: Annotations, preprocess: Preprocess, plan: AnchorPlan) -> Reached:
    """What the plan's anchors reach of a data set with objects."""
    objects = scaled(annotations, preprocess)
    overlaps = best_overlaps(objects, plan.shapes, plan.spacings, plan.outside)
    side = np.sqrt((objects.boxes[:, 2:] - objects.boxes[:, :2]).prod(1))
    per_class = np.full((len(annotations.classes), len(OVERLAPS)), np.nan)
    for place in range(len(annotations.classes)):
        of = overlaps[objects.labels == place + 1]
        if len(of):
            per_class[place] = [(of >= least).mean() for least in OVERLAPS]
    half, most = (float((overlaps >= least).mean()) for least in OVERLAPS)
    return Reached(preprocess.min_size, float(np.median(side)), (half, most), per_class)


def _listed(values: Sequence[float]) -> str:
    """Without blanks, so that a shell takes it for one word."""
    return ",".join(f"{value:g}" for value in values)
