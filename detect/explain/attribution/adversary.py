"""What the adversary that a detector was trained against hides of each detection (A-Fast-RCNN, arXiv:1704.03414)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from detect.explain.attribution.options import MethodOptions
from detect.explain.attribution.target import AttributionTarget


@torch.no_grad()
def adversary(target: AttributionTarget, options: MethodOptions) -> Tensor:
    """Return the probability that the adversary hides a pixel, as it names the cell of the region: (D, 1, H, W).

    The region is that of the pinned proposal; outside of it the map is 0. Raises ValueError without an adversary that
    hides cells.
    """
    if options.adversary is None or target.region_maps is None:
        raise ValueError("options: expected an adversary, and regions of a shared map, found none")
    cells = options.adversary.hiding(target.region_maps())
    if cells is None:
        raise ValueError("options: expected an adversary that hides cells by their map, found another")
    size = (int(target.pixels.shape[2]), int(target.pixels.shape[3]))
    boxes = [detection.proposal for detection in target.detections]
    return torch.stack([spread_over_box(image_cells, box, size) for image_cells, box in zip(cells, boxes, strict=True)])


def spread_over_box(cells: Tensor, box: Tensor, size: tuple[int, int]) -> Tensor:
    """Return cells (d, d) spread over a box (4,) in pixels of an image of ``size`` (h, w): (1, h, w).

    Between the centers of cells it is bilinear; 0 outside the box.
    """
    height, width = size
    x1, y1, x2, y2 = box.to(cells.dtype)
    x = (torch.arange(width, device=cells.device) + 0.5 - x1) / (x2 - x1).clamp(min=1e-6)  # 0..1 in the box
    y = (torch.arange(height, device=cells.device) + 0.5 - y1) / (y2 - y1).clamp(min=1e-6)
    points = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1) * 2 - 1
    spread = functional.grid_sample(cells[None, None], points[None], padding_mode="border", align_corners=False)[0]
    is_inside = ((x >= 0) & (x <= 1)) & ((y >= 0) & (y <= 1))[:, None]
    return torch.where(is_inside, spread, 0)
