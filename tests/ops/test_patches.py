from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from detect.ops.patches import extract_patches


@pytest.mark.parametrize("cells", [[], [0], [7, 0, 23, 7], range(24)])
@pytest.mark.parametrize("reach", [0, 1, 2, 5])
def test_patches_equal_slices_of_padded_maps(cells: list[int], reach: int) -> None:
    maps = torch.randn(2, 3, 3, 4, generator=torch.Generator().manual_seed(0))
    patches, inside = extract_patches(maps, torch.tensor(cells).long(), reach)
    side = 2 * reach + 1
    assert (patches.shape, inside.shape) == ((len(cells), 3, side, side), (len(cells), 1, side, side))
    wide, there = (functional.pad(each, [reach] * 4) for each in (maps, torch.ones(2, 1, 3, 4)))
    for patch, mask, cell in zip(patches, inside, cells, strict=True):
        image, y, x = cell // 12, cell % 12 // 4, cell % 4
        assert torch.equal(patch, wide[image, :, y : y + side, x : x + side])
        assert torch.equal(mask, there[image, :, y : y + side, x : x + side])
