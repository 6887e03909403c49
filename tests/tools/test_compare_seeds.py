"""tools/compare_seeds.py: the gain of pairs by hand, and which metric is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detect.errors import UserError
from tools.compare_seeds import format_gain, gain_of_pairs, metric_of


def test_gain_of_no_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one"):
        gain_of_pairs([])


@pytest.mark.parametrize(
    ("pairs", "mean", "error", "is_clear"),
    [
        ([(0.5, 0.6)], 0.1, None, False),
        ([(0.5, 0.6), (0.5, 0.8)], 0.2, 0.1, False),  # differences 0.1 and 0.3: deviation 0.1414, over the root of 2
        ([(0.5, 0.6), (0.6, 0.7), (0.1, 0.21)], 0.31 / 3, 0.01 / 3, True),
        ([(0.6, 0.5), (0.7, 0.6)], -0.1, 0.0, False),
    ],
)
def test_gain_has_its_mean_and_standard_error(
    pairs: list[tuple[float, float]], mean: float, error: float | None, is_clear: bool
) -> None:
    gain = gain_of_pairs(pairs)
    assert gain.mean == pytest.approx(mean)
    assert gain.standard_error == (None if error is None else pytest.approx(error, abs=1e-12))
    assert gain.is_clear == is_clear


def test_table_has_a_row_for_each_seed() -> None:
    text = format_gain("AP75", range(2), [(0.5, 0.6), (0.5, 0.8)])
    assert "| 1 | 0.500 | 0.800 | +0.300 |" in text
    assert "Mean gain +0.2000, standard error 0.1000: not above two standard errors." in text


def test_metric_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "score.json"
    file.write_text(json.dumps({"metric": "coco", "AP": 0.5, "APl": None, "images": 3}))
    assert metric_of(file, "AP") == 0.5
    for missing in ("AP75", "APl", "images"):
        with pytest.raises(UserError, match=f"--metric: expected one of AP, found {missing}"):
            metric_of(file, missing)
