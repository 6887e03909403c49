from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes

from detect.ops.masks import crop_targets, paste_masks

SIZE = (40, 50)
BOXES = {
    "none": [],
    "inside": [(10.0, 10.0, 24.0, 24.0), (3.3, 7.9, 31.2, 20.5)],
    "across the border": [(-10.5, -3.0, 12.0, 60.0), (40.0, 30.0, 70.0, 50.0)],
    "outside": [(-20.0, 5.0, -4.0, 15.0), (60.0, 50.0, 80.0, 70.0)],
    "smaller than a pixel": [(10.2, 10.2, 10.8, 10.8), (20.6, 20.0, 21.4, 30.0)],
    "without extent": [(10.0, 10.0, 10.0, 20.0), (20.0, 20.0, 10.0, 10.0), (0.0, 0.0, float("nan"), 9.0)],
}


def boxes(rows: Sequence[tuple[float, ...]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def random_masks(count: int, side: int = 7) -> torch.Tensor:
    return torch.rand(count, side, side, generator=torch.Generator().manual_seed(count))


def paste_slowly(mask: np.ndarray, box: tuple[float, ...], size: tuple[int, int], threshold: float) -> np.ndarray:
    """Sample each pixel that the box touches by the definition, in float64."""
    side, (x1, y1, x2, y2) = len(mask), box
    pasted = np.zeros(size, bool)
    if not (x2 > x1 and y2 > y1):
        return pasted
    padded = np.pad(mask, 1)
    for row, column in np.ndindex(size):
        if not (row + 1 > y1 and row < y2 and column + 1 > x1 and column < x2):
            continue
        y, x = ((row + 0.5 - y1) / (y2 - y1) * side + 0.5, (column + 0.5 - x1) / (x2 - x1) * side + 0.5)
        if not (0 <= y <= side + 1 and 0 <= x <= side + 1):
            continue
        i, j = min(int(y), side), min(int(x), side)
        v, u = y - i, x - j
        corner = padded[i : i + 2, j : j + 2]
        pasted[row, column] = np.array([1 - v, v]) @ corner @ np.array([1 - u, u]) >= threshold
    return pasted


@pytest.mark.parametrize("threshold", [0.5, 0.2])
@pytest.mark.parametrize("case", BOXES)
def test_paste_masks_equals_slow_pasting(case: str, threshold: float) -> None:
    rows = BOXES[case]
    masks = random_masks(len(rows))
    pasted = paste_masks(masks, boxes(rows), SIZE, threshold)
    slow = [
        paste_slowly(mask.double().numpy(), tuple(box.double().tolist()), SIZE, threshold)
        for mask, box in zip(masks, boxes(rows), strict=True)
    ]
    assert pasted.shape == (len(rows), *SIZE)
    assert pasted.dtype == torch.bool
    np.testing.assert_array_equal(pasted.numpy(), np.array(slow, bool).reshape(-1, *SIZE))
    assert pasted.any() == (case in ("inside", "across the border") or (case.startswith("smaller") and threshold < 0.5))


def test_a_mask_has_the_same_bits_in_any_batch() -> None:
    rows = boxes([row for case in BOXES.values() for row in case])
    masks = random_masks(len(rows), 28)
    together = paste_masks(masks, rows, SIZE)
    for i in range(len(rows)):
        assert torch.equal(paste_masks(masks[i : i + 1], rows[i : i + 1], SIZE)[0], together[i])


def smooth_masks(count: int, side: int) -> torch.Tensor:
    """Random ellipses, whose edges are a few cells wide."""
    generator = torch.Generator().manual_seed(3)
    axis = (torch.arange(side) + 0.5) / side * 2 - 1
    radii = 0.5 + 0.4 * torch.rand(count, 2, generator=generator)
    distance = (axis[:, None] / radii[:, 0, None, None]) ** 2 + (axis / radii[:, 1, None, None]) ** 2
    return torch.sigmoid(6 * (1 - distance))


def test_paste_masks_agrees_with_torchvision_within_its_rounding() -> None:
    """torchvision rounds boxes to pixels, which moves edges by up to a pixel: an IoU of 0.95 on boxes of 100 to 200."""
    generator = torch.Generator().manual_seed(1)
    corners = torch.rand(20, 2, generator=generator) * 150
    rows = torch.cat([corners, corners + 100 + 100 * torch.rand(20, 2, generator=generator)], 1)
    masks = smooth_masks(20, 28)
    theirs = paste_masks_in_image(masks[:, None], rows, (400, 400))[:, 0] >= 0.5
    ours = paste_masks(masks, rows, (400, 400))
    shared, union = (ours & theirs).sum((1, 2)), (ours | theirs).sum((1, 2))
    assert (shared / union).min() > 0.95


@pytest.mark.parametrize(
    ("masks", "rows"), [(torch.zeros(2, 7, 7), torch.zeros(1, 4)), (torch.zeros(2, 1, 7, 7), torch.zeros(2, 4))]
)
def test_paste_masks_of_other_shapes_raises_value_error(masks: torch.Tensor, rows: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected masks \(D, M, M\) and boxes \(D, 4\)"):
        paste_masks(masks, rows, SIZE)


def random_bitmaps(count: int) -> torch.Tensor:
    return torch.rand(count, *SIZE, generator=torch.Generator().manual_seed(7)) > 0.5


@pytest.mark.parametrize("case", [name for name in BOXES if name != "without extent"])
def test_crop_targets_equals_torchvision(case: str) -> None:
    rows, bitmaps = boxes(BOXES[case]), random_bitmaps(3)
    index = torch.arange(len(rows)) % 3
    cropped = crop_targets(bitmaps, index, rows, 14, aligned=False)
    theirs = project_masks_on_boxes(bitmaps, rows, index, 14)
    assert cropped.shape == (len(rows), 14, 14)
    assert torch.equal(cropped, theirs.reshape(-1, 14, 14))


def test_crop_targets_is_the_mean_of_the_pixels_of_each_cell() -> None:
    bitmaps, box = random_bitmaps(2), boxes([(4.0, 8.0, 25.0, 22.0)])  # cells of 3 x 2 pixels
    cropped = crop_targets(bitmaps, torch.tensor([1]), box, 7)[0]
    expected = bitmaps[1, 8:22, 4:25].float().view(7, 2, 7, 3).mean((1, 3))
    torch.testing.assert_close(cropped, expected)


def test_a_cropped_target_pastes_back_onto_its_pixels() -> None:
    bitmap = paste_masks(smooth_masks(1, 28), boxes([(20.0, 30.0, 160.0, 140.0)]), (180, 200))
    box = boxes([(20.0, 30.0, 160.0, 140.0)])
    pasted = paste_masks(crop_targets(bitmap, torch.tensor([0]), box, 28), box, (180, 200))
    assert (pasted & bitmap).sum() / (pasted | bitmap).sum() > 0.97
