"""What a proposer gives, whether it searches, reads or learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from detect.types import Images, Mean, Proposals, Targets

Raw = TypeVar("Raw")


@dataclass(frozen=True)
class Selection:
    """How many proposals go on.

    The ``before_nms`` best of each map enter a suppression at IoU ``nms``; the ``after_nms`` best that survive go on.
    A proposal with a side of ``min_side`` pixels or less is dropped, and one that an RPN scores below ``score``.
    """

    before_nms: int
    after_nms: int
    nms: float = 0.7
    min_side: float = 0.0
    score: float = 0.0


@dataclass(frozen=True)
class Proposed(Generic[Raw]):
    """N sets of proposals, and the raw output that made them: what the proposer's loss needs."""

    proposals: tuple[Proposals, ...]
    raw: Raw


class Proposer(Protocol):
    """The second slot of a Detector."""

    def __call__(self, images: Images, maps: Sequence[Tensor], selection: Selection) -> Proposed[Any]:
        """Proposals of each image, best first, in canvas pixels."""

    def losses(self, raw: Any, images: Images, targets: Sequence[Targets]) -> dict[str, Mean]:
        """Named losses; none where nothing is learned."""
