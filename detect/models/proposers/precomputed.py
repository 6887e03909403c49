"""A proposer for proposals that come with the images, from a search or a file (R-CNN, Fast R-CNN)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detect.models.proposers.proposer import ProposalSelection, ProposerOutput
from detect.types import Images, MeanLoss, Proposals, Targets


class PrecomputedProposals:
    """A proposer that returns the best of ``Images.proposals``. It has nothing to learn."""

    def __call__(
        self,
        images: Images,
        maps: Sequence[Tensor],  # noqa: ARG002
        selection: ProposalSelection,
    ) -> ProposerOutput[None]:
        """Return the ``post_nms_top_n`` best proposals of each image.

        Raises ValueError for images that came without proposals.
        """
        if images.proposals is None:
            raise ValueError(
                "Images.proposals: expected proposals for a detector that does not make its own, found None"
            )
        return ProposerOutput(tuple(_large_enough(proposals, selection) for proposals in images.proposals), None)

    def losses(self, raw: None, images: Images, targets: Sequence[Targets]) -> dict[str, MeanLoss]:  # noqa: ARG002
        """Return no losses: nothing is learned here."""
        return {}


def _large_enough(proposals: Proposals, selection: ProposalSelection) -> Proposals:
    """Return the first proposals that are large enough. There is no suppression: a search has its own order."""
    sides = proposals.boxes[:, 2:] - proposals.boxes[:, :2]
    keep = (sides.min(1).values > selection.min_size).nonzero().flatten()[: selection.post_nms_top_n]
    source_index = keep if proposals.source_index is None else proposals.source_index[keep]
    return Proposals(proposals.boxes[keep], proposals.scores[keep], source_index)
