"""The records of a proposer: which proposals it selects, what it returns, and where its anchors lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from detect.ops.anchors import AnchorGenerator
from detect.types import Proposals, Size

RawT = TypeVar("RawT")


@dataclass(frozen=True)
class ProposalSelection:
    """The configuration that selects proposals.

    The ``pre_nms_top_n`` best of each map enter a suppression at the threshold ``nms_iou``; the ``post_nms_top_n`` best
    that survive are returned. A proposal with a side of ``min_size`` pixels or less is dropped, and one that an RPN
    scores below ``score_threshold``.
    """

    pre_nms_top_n: int
    post_nms_top_n: int
    nms_iou: float = 0.7
    min_size: float = 0.0
    score_threshold: float = 0.0


@dataclass(frozen=True)
class ProposerOutput(Generic[RawT]):
    """The proposals of N images, and the raw predictions behind them, which the proposer's loss needs."""

    proposals: tuple[Proposals, ...]
    raw: RawT


@dataclass(frozen=True)
class AnchorPosition:
    """The place of an anchor: its map (from 0), row and column of its cell, size in pixels, and height over width."""

    level: int
    row: int
    column: int
    size: float
    aspect_ratio: float


@dataclass(frozen=True)
class AnchorLayout:
    """The anchors of all maps, in order: (h, w) of each map, the number of anchors on each, and their shapes."""

    grids: tuple[Size, ...]
    counts: tuple[int, ...]
    generator: AnchorGenerator

    def locate(self, anchor: int, level: int) -> AnchorPosition:
        """Return the place of an anchor by its index among all and its map.

        Example: with 3 shapes a cell, anchor 7 of the first map has the shape 1 at the cell 2.
        """
        cell, shape = divmod(anchor - sum(self.counts[:level]), self.generator.num_anchors_per_location(level))
        row, column = divmod(cell, self.grids[level][1])
        size, ratio = divmod(shape, len(self.generator.aspect_ratios))
        return AnchorPosition(
            level=level,
            row=row,
            column=column,
            size=self.generator.sizes[level][size],
            aspect_ratio=self.generator.aspect_ratios[ratio],
        )
