"""tools/compare_seeds.py: what is said of the gain, and which metric is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detect.errors import UserError
from tools.compare_seeds import format_gain, metric_of


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        ([(0.5, 0.6)], "Mean gain +0.1000, without an interval, which needs two pairs."),
        ([(0.5, 0.6), (0.5, 0.8)], "+0.2000, 95% interval -1.0706 to +1.4706 (Student's t), with 0 in it."),
        ([(0.5, 0.6), (0.6, 0.7), (0.1, 0.21)], "interval +0.0890 to +0.1177 (Student's t), above 0."),
        ([(0.6, 0.5), (0.7, 0.59), (0.21, 0.1)], "(Student's t), below 0."),
    ],
)
def test_table_has_a_row_for_each_seed_and_a_verdict(pairs: list[tuple[float, float]], verdict: str) -> None:
    text = format_gain("AP75", range(len(pairs)), pairs)
    for seed, (first, second) in enumerate(pairs):
        assert f"| {seed} | {first:.3f} | {second:.3f} | {second - first:+.3f} |" in text
    assert text.endswith(verdict + "\n")


def test_metric_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "score.json"
    file.write_text(json.dumps({"metric": "coco", "AP": 0.5, "APl": None, "images": 3}))
    assert metric_of(file, "AP") == 0.5
    for missing in ("AP75", "APl", "images"):
        with pytest.raises(UserError, match=f"--metric: expected one of AP, found {missing}"):
            metric_of(file, missing)
