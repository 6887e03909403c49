from __future__ import annotations

import pytest

from detect.data.inspect.mask_checks import crosses_itself

SQUARE = (0, 0, 10, 0, 10, 10, 0, 10)


@pytest.mark.parametrize(
    ("ring", "expected"),
    [
        (SQUARE, False),
        (SQUARE[::-1], False),
        ((0, 0, 10, 0, 5, 5), False),
        ((0, 0, 10, 10, 10, 0, 0, 10), True),
        ((0, 0, 10, 0, 10, 10, 5, -5, 0, 10), True),
        ((0, 0, 5, 0, 10, 0, 10, 10, 0, 10), False),  # a point on an edge
        ((*SQUARE, 0, 0, 2, 2, 2, 8, 8, 8, 8, 2, 2, 2), False),  # a hole, joined by a bridge that is walked twice
        ((0, 0, 10, 0, 10, 10, 10, 0), False),  # an edge walked twice
        ((0, 0, 0, 0, 10, 0, 10, 10, 0, 10), False),  # a point twice
        ((0, 0) * 5000, False),
    ],
)
def test_crosses_itself(ring: tuple[float, ...], expected: bool) -> None:
    assert crosses_itself(ring) == expected
