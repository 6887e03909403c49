"""tools/paired_gain.py: the gain of pairs and its interval by hand."""

from __future__ import annotations

import math

import pytest

from tools.paired_gain import gain_of_pairs


def test_gain_of_no_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one"):
        gain_of_pairs([], [])


@pytest.mark.parametrize(
    ("base", "scores", "mean", "half"),
    [
        ((0.5, 0.5), (0.6, 0.8), 0.2, 12.706 * 0.1),  # deviation 0.1414, over the root of 2
        ((0.5, 0.5, 0.5), (0.51, 0.52, 0.53), 0.02, 4.303 * 0.01 / math.sqrt(3)),
        ((0.6, 0.7), (0.5, 0.6), -0.1, 0.0),
        ((0.5, 0.5, 9.9), (0.6, 0.8), 0.2, 12.706 * 0.1),  # the third seed has no pair
        ((0.0,) * 20, (0.1, -0.1) * 10, 0.0, 2.262 * 0.1 * math.sqrt(20 / 19) / math.sqrt(20)),
    ],
)
def test_interval_is_students_t(base: tuple[float, ...], scores: tuple[float, ...], mean: float, half: float) -> None:
    gain = gain_of_pairs(base, scores)
    assert gain.mean == pytest.approx(mean)
    assert gain.interval is not None
    assert list(gain.interval) == pytest.approx([mean - half, mean + half])


def test_points_have_the_interval_of_two_pairs_or_more() -> None:
    assert gain_of_pairs([0.5], [0.6]).in_points() == "+10.0"
    assert gain_of_pairs([0.5, 0.5, 0.5], [0.51, 0.52, 0.53]).in_points() == "+2.0 (-0.5 to +4.5)"
