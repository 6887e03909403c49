"""The anchors of one image that may become proposals, and the choice among them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from detect.models.proposers.proposer import Selection
from detect.ops import boxes as box_ops
from detect.ops.nms import nms, suppressors
from detect.types import Proposals, Size

NO_SCALING = (1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Candidates:
    """The C anchors of one image that may become proposals.

    source (C,) int64: their places among all; anchors (C, 4); logits (C,); deltas (C, 4); maps (C,) int64: which of
    ``levels`` maps each stands on; size: of the picture, (h, w); growth: see ``boxes.decode``.
    """

    source: Tensor
    anchors: Tensor
    logits: Tensor
    deltas: Tensor
    maps: Tensor
    levels: int
    size: Size
    growth: float | None

    @cached_property
    def boxes(self) -> Tensor:
        """Where the deltas take the anchors, cut to the picture: (C, 4)."""
        return box_ops.clip(box_ops.decode(self.deltas, self.anchors, NO_SCALING, self.growth), self.size)

    def entering(self, selection: Selection) -> Tensor:
        """Indices of those that are large and sure enough to enter the suppression."""
        usable = box_ops.has_extent(self.boxes, selection.min_side)
        if selection.score:
            usable = usable & (self.logits.sigmoid() >= selection.score)
        return usable.nonzero().flatten()

    def kept(self, selection: Selection) -> Tensor:
        """Indices of those that become proposals, best first: suppressed within each map, the best over all maps."""
        entered = self.entering(selection)
        return entered[nms(*self._rivals(entered, selection))[: selection.after_nms]]

    def suppressors(self, selection: Selection) -> Tensor:
        """Who took each out (C,) int64; itself for one that no other did, -1 for one that did not enter."""
        entered = self.entering(selection)
        takers = torch.full_like(self.source, -1)
        takers[entered] = entered[suppressors(*self._rivals(entered, selection))]
        return takers

    def proposals(self, selection: Selection) -> Proposals:
        """Those kept."""
        kept = self.kept(selection)
        return Proposals(self.boxes[kept], self.logits[kept].sigmoid(), self.source[kept])

    def _rivals(self, entered: Tensor, selection: Selection) -> tuple[Tensor, Tensor, float, Tensor | None]:
        groups = self.maps[entered] if self.levels > 1 else None
        return self.boxes[entered], self.logits[entered], selection.nms, groups
