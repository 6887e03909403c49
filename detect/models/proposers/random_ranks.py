"""Random ranks of anchors, for an RPN without its classification (Faster R-CNN, table 2, "no cls")."""

from __future__ import annotations

import torch
from torch import Tensor

from detect.models.proposers.proposer import AnchorLayout
from detect.system.randomness import uniform_at
from detect.types import Images


def draw_ranks(anchors: Tensor, layout: AnchorLayout, images: Images) -> Tensor:
    """Draw a rank (N, A) for each of the anchors (A, 4) of each image: the logit of a uniform number.

    A draw depends only on the seed of the image, and on the map, the cell and the shape of the anchor. An anchor whose
    center lies in the padding has the rank -inf. So the best anchors of an image do not depend on its batch.
    """
    counters = [_position_numbers(layout, level, anchors.device) for level in range(len(layout.grids))]
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    ranks = []
    for seed, (height, width) in zip(images.seeds, images.sizes, strict=True):
        draws = [uniform_at(counter, seed, "rpn rank", level) for level, counter in enumerate(counters)]
        is_inside = (centers[:, 0] < width) & (centers[:, 1] < height)
        rank = torch.logit(torch.cat(draws), eps=1e-9).to(anchors.dtype)
        ranks.append(rank.masked_fill(~is_inside, -torch.inf))
    return torch.stack(ranks)


def _position_numbers(layout: AnchorLayout, level: int, device: torch.device) -> Tensor:
    """Return an int64 for each anchor of a map, in order, that its row, column and shape alone determine."""
    height, width = layout.grids[level]
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    cells = ((rows[:, None] << 20) + columns).flatten()  # no map is 2^20 cells wide
    shapes = torch.arange(layout.generator.num_anchors_per_location(level), device=device)
    return (cells[:, None] * len(shapes) + shapes).flatten()
