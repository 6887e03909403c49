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


def test_gradient_of_shared_cells_is_the_same_bits_with_two_threads() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(4, 64, 14, 20, generator=generator).requires_grad_()
    cells = torch.randint(0, 4 * 14 * 20, (512,), generator=generator)
    weights = torch.randn(512, 64, 3, 3, generator=generator)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        gradients = []
        for _ in range(6):
            patches, _ = extract_patches(maps, cells, 1)
            gradients.append(torch.autograd.grad((patches * weights).sum(), maps)[0])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)
