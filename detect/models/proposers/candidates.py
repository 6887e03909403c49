"""The anchors of one image that may become proposals, and the selection among them by non-maximum suppression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from detect.models.proposers.proposer import ProposalSelection
from detect.ops import boxes as box_ops
from detect.ops.nms import nms, suppressed_by
from detect.types import Proposals, Size

UNIT_STDS = (1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Candidates:
    """The C anchors of one image that may become proposals.

    anchor_index (C,) int64: their indices among all anchors; anchors (C, 4); logits (C,); deltas (C, 4); level (C,)
    int64: the index of each one's map, of ``num_levels`` maps; image_size: (h, w); max_scale: see ``boxes.decode``.
    """

    anchor_index: Tensor
    anchors: Tensor
    logits: Tensor
    deltas: Tensor
    level: Tensor
    num_levels: int
    image_size: Size
    max_scale: float | None

    @cached_property
    def boxes(self) -> Tensor:
        """The decoded boxes (C, 4): the anchors moved by their deltas and clipped to the image."""
        return box_ops.clip(box_ops.decode(self.deltas, self.anchors, UNIT_STDS, self.max_scale), self.image_size)

    def eligible(self, selection: ProposalSelection) -> Tensor:
        """Return the indices of the candidates whose size and score suffice to enter the suppression."""
        mask = box_ops.is_not_empty(self.boxes, selection.min_size)
        if selection.score_threshold:
            mask = mask & (self.logits.sigmoid() >= selection.score_threshold)
        return mask.nonzero().flatten()

    def nms_keep(self, selection: ProposalSelection) -> Tensor:
        """Return the indices of the candidates that become proposals, best first.

        Suppression runs within each map; of what survives, the ``post_nms_top_n`` best of all maps are kept.
        """
        eligible = self.eligible(selection)
        return eligible[nms(*self._nms_inputs(eligible, selection))[: selection.post_nms_top_n]]

    def suppressed_by(self, selection: ProposalSelection) -> Tensor:
        """Return the index (C,) int64 of the candidate that suppressed each one.

        It is the candidate's own index where no other suppressed it, and -1 where it was not eligible.
        """
        eligible = self.eligible(selection)
        suppressor = torch.full_like(self.anchor_index, -1)
        suppressor[eligible] = eligible[suppressed_by(*self._nms_inputs(eligible, selection))]
        return suppressor

    def proposals(self, selection: ProposalSelection) -> Proposals:
        """Return the candidates that ``nms_keep`` selects as proposals, best first."""
        keep = self.nms_keep(selection)
        return Proposals(self.boxes[keep], self.logits[keep].sigmoid(), self.anchor_index[keep])

    def _nms_inputs(
        self, eligible: Tensor, selection: ProposalSelection
    ) -> tuple[Tensor, Tensor, float, Tensor | None]:
        groups = self.level[eligible] if self.num_levels > 1 else None
        return self.boxes[eligible], self.logits[eligible], selection.nms_iou, groups
