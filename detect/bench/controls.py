"""Maps that know nothing of the network: what every explanation has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from detect.explain.attribution.options import Choice
from detect.explain.attribution.target import View


def flat_box(view: View, _: Choice) -> Tensor:
    """1 in the detection's box, 0 elsewhere."""
    return _drawn(view, shrink=0.0)


def centre(view: View, _: Choice) -> Tensor:
    """A tenth of the box, around its centre."""
    return _drawn(view, shrink=0.45)


def _drawn(view: View, shrink: float) -> Tensor:
    height, width = view.pixels.shape[2:]
    x1, y1, x2, y2 = view.window.tolist()
    maps = torch.zeros(len(view.pinned), 1, height, width)
    for own, one in zip(maps, view.pinned, strict=True):
        left, top, right, bottom = one.box.tolist()
        dx, dy = (right - left) * shrink, (bottom - top) * shrink
        columns = [round((x - x1) / (x2 - x1) * width) for x in (left + dx, right - dx)]
        rows = [round((y - y1) / (y2 - y1) * height) for y in (top + dy, bottom - dy)]
        own[0, max(rows[0], 0) : max(rows[1], rows[0] + 1), max(columns[0], 0) : max(columns[1], columns[0] + 1)] = 1
    return maps.to(view.pixels.device)
