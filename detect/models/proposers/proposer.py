"""The interface of a proposer, the part of a detector that gives the boxes to classify."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from detect.types import Images, MeanLoss, Proposals, Targets

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


class Proposer(Protocol):
    """The second slot of a Detector: images and maps in, proposals out."""

    def __call__(self, images: Images, maps: Sequence[Tensor], selection: ProposalSelection) -> ProposerOutput[Any]:
        """Return the proposals of each image, best first, in canvas pixels."""

    def losses(self, raw: Any, images: Images, targets: Sequence[Targets]) -> dict[str, MeanLoss]:
        """Return the losses by name; an empty dict where nothing is learned."""
