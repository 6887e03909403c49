"""A proposer for proposals that come with the images, from a search or a file (R-CNN, Fast R-CNN)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from detect.models.proposers.proposer import AnchorLayout, ProposalSelection, ProposerOutput
from detect.types import Images, MeanLoss, Proposals, Size, Targets


class PrecomputedProposals(nn.Module):
    """A proposer that returns the best of ``Images.proposals``. It has nothing to learn."""

    def forward(
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

    def candidates(self, raw: None, sizes: Sequence[Size], selection: ProposalSelection) -> tuple[None, ...]:  # noqa: ARG002
        """Return None for each image: there are no anchors."""
        return (None,) * len(sizes)

    def anchor_layout(self, raw: None) -> AnchorLayout | None:  # noqa: ARG002
        """Return None: there are no anchors."""
        return None

    def run_layers(self, maps: Sequence[Tensor]) -> None:
        """Run nothing: there are no layers."""

    def output_layers(self) -> dict[str, nn.Conv2d]:
        """Return no layers: there are no predictions."""
        return {}


def _large_enough(proposals: Proposals, selection: ProposalSelection) -> Proposals:
    """Return the first proposals that are large enough. There is no suppression: a search has its own order."""
    sides = proposals.boxes[:, 2:] - proposals.boxes[:, :2]
    keep = (sides.min(1).values > selection.min_size).nonzero().flatten()[: selection.post_nms_top_n]
    source_index = keep if proposals.source_index is None else proposals.source_index[keep]
    return Proposals(proposals.boxes[keep], proposals.scores[keep], source_index)
