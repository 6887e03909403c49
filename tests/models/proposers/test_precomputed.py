from __future__ import annotations

import pytest
import torch

from detect.models.proposers.precomputed import PrecomputedProposals
from detect.models.proposers.proposer import ProposalSelection
from detect.types import Images, Proposals

BOXES = [[0.0, 0, 10, 10], [2.0, 2, 3, 9], [1.0, 1, 8, 8]]


def images(*boxes: list[list[float]]) -> Images:
    proposals = tuple(
        Proposals(torch.tensor(sample).reshape(-1, 4), torch.linspace(1, 0.5, len(sample))) for sample in boxes
    )
    return Images(torch.zeros(len(boxes), 3, 16, 16), ((16, 16),) * len(boxes), tuple(range(len(boxes))), proposals)


@pytest.mark.parametrize(
    ("top_n", "min_side", "expected"),
    [(0, 0.0, []), (5, 0.0, [0, 1, 2]), (2, 0.0, [0, 1]), (2, 1.0, [0, 2]), (5, 20.0, [])],
)
def test_first_large_enough_proposals_are_returned(top_n: int, min_side: float, expected: list[int]) -> None:
    empty, proposals = PrecomputedProposals()(
        images([], BOXES), [], ProposalSelection(9, top_n, min_size=min_side)
    ).proposals
    assert len(empty) == 0
    assert proposals.boxes.tolist() == [BOXES[index] for index in expected]
    assert proposals.source_index is not None
    assert proposals.source_index.tolist() == expected


def test_precomputed_proposals_have_no_loss() -> None:
    assert PrecomputedProposals().losses(None, images([]), []) == {}


def test_images_without_proposals_are_refused() -> None:
    bare = Images(torch.zeros(1, 3, 16, 16), ((16, 16),), (1,))
    with pytest.raises(ValueError, match=r"Images.proposals: expected proposals"):
        PrecomputedProposals()(bare, [], ProposalSelection(1, 1))
