from __future__ import annotations

import pytest
import torch

from detect.ops.grouped_nms import NO_SCORE, grouped_nms


@pytest.mark.parametrize(("groups", "count"), [(1, 0), (2, 0), (1, 1), (3, 40)])
@pytest.mark.parametrize("limit", [5, 100])
def test_each_group_is_suppressed_by_itself(groups: int, count: int, limit: int) -> None:
    generator = torch.Generator().manual_seed(groups)
    boxes = torch.rand(groups, count, 2, 2, generator=generator).sort(2).values.reshape(groups, count, 4) * 50
    scores = torch.randn(groups, count, generator=generator)
    scores[:, ::4] = NO_SCORE
    expected = []
    for group in range(groups):
        best = scores[group].argsort(descending=True).tolist()
        kept: list[int] = []
        for box in (box for box in best if scores[group, box] > NO_SCORE):
            if all(overlap(boxes[group, box], boxes[group, other]) <= 0.3 for other in kept):
                kept.append(box)
        expected += [[group, box] for box in kept[:limit]]
    assert grouped_nms(boxes, scores, 0.3, limit).tolist() == expected


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    """Intersection over union, by hand."""
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    shared = max(0.0, float(width)) * max(0.0, float(height))
    area = sum(float((box[2] - box[0]) * (box[3] - box[1])) for box in (a, b))
    return shared / (area - shared)
