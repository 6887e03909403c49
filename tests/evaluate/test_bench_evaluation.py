from __future__ import annotations

import json
import math
import runpy
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "bench_evaluation.py"


def test_it_prints_equal_numbers_and_a_ratio(tmp_path, monkeypatch, capsys):
    sizes = ["--images", "6", "--classes", "4", "--detections", "12", "--runs", "2"]
    monkeypatch.setattr(sys, "argv", [str(TOOL), *sizes, "--json", str(tmp_path / "bench.json")])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOL), run_name="__main__")
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "6 photos" in printed
    assert "72 detections" in printed
    told = json.loads((tmp_path / "bench.json").read_text())
    assert [len(seconds) for seconds in told["seconds"].values()] == [2, 2, 2]
    assert told["difference"] <= 1e-12


@pytest.mark.parametrize(
    ("ours", "difference"), [(0.5, 0.0), (0.25, 0.25), (None, math.inf)], ids=["equal", "other", "missing"]
)
def test_a_difference_is_seen(ours, difference):
    largest_difference = runpy.run_path(str(TOOL))["largest_difference"]
    assert largest_difference(({"AP": 0.5, "APs": None}, {}), ({"AP": ours, "APs": None}, {})) == difference
