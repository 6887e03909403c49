from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from detect.ops.slices import Window, slice_windows
from detect.types import Size


@pytest.mark.parametrize(
    ("size", "slice_size", "overlap", "expected"),
    [
        ((1, 1), (32, 32), 0.2, [(0, 0, 1, 1)]),
        ((90, 120), (90, 120), 0.5, [(0, 0, 120, 90)]),
        ((90, 120), (500, 60), 0.0, [(0, 0, 60, 90), (60, 0, 120, 90)]),
        ((90, 121), (90, 60), 0.0, [(0, 0, 60, 90), (60, 0, 120, 90), (61, 0, 121, 90)]),
        ((10, 25), (10, 10), 0.5, [(0, 0, 10, 10), (5, 0, 15, 10), (10, 0, 20, 10), (15, 0, 25, 10)]),
        ((20, 20), (10, 20), 0.0, [(0, 0, 20, 10), (0, 10, 20, 20)]),
    ],
)
def test_windows(size: Size, slice_size: Size, overlap: float, expected: list[Window]) -> None:
    assert slice_windows(size, slice_size, overlap) == expected


@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.9])
@pytest.mark.parametrize("size", [(33, 100), (257, 64), (640, 641)])
def test_windows_of_one_size_cover_every_pixel_and_overlap_enough(size: Size, overlap: float) -> None:
    windows = slice_windows(size, (48, 64), overlap)
    covered = np.zeros(size, bool)
    for x1, y1, x2, y2 in windows:
        covered[y1:y2, x1:x2] = True
    assert covered.all()
    assert {(y2 - y1, x2 - x1) for x1, y1, x2, y2 in windows} == {(min(48, size[0]), min(64, size[1]))}
    columns = sorted({x1 for x1, _, _, _ in windows})
    assert all(b - a <= round(64 * (1 - overlap)) for a, b in pairwise(columns))
