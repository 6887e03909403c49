"""Proposals that came with the images: from a search or a file, not from the network (R-CNN, Fast R-CNN)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detect.models.proposers.proposer import Proposed, Selection
from detect.types import Images, Mean, Proposals, Targets


class GivenProposals:
    """Hands on the best of what ``Images.given`` holds. It has nothing to learn."""

    def __call__(
        self,
        images: Images,
        maps: Sequence[Tensor],  # noqa: ARG002
        selection: Selection,
    ) -> Proposed[None]:
        """The ``after_nms`` best given proposals of each image; ValueError for images that came without."""
        if images.given is None:
            raise ValueError("Images.given: expected proposals for a detector that does not make its own, found None")
        return Proposed(tuple(_best(given, selection) for given in images.given), None)

    def losses(self, raw: None, images: Images, targets: Sequence[Targets]) -> dict[str, Mean]:  # noqa: ARG002
        """None."""
        return {}


def _best(given: Proposals, selection: Selection) -> Proposals:
    """Those that are large enough, the first of them; no suppression, a search has its own order."""
    sides = given.boxes[:, 2:] - given.boxes[:, :2]
    kept = (sides.min(1).values > selection.min_side).nonzero().flatten()[: selection.after_nms]
    source = kept if given.source is None else given.source[kept]
    return Proposals(given.boxes[kept], given.scores[kept], source)
