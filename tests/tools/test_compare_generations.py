"""tools/compare_generations.py: gains have the sign of the later one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from detect.bench.stage_times import StageTimes
from tools import timed_commands
from tools.compare_generations import GenerationResult, format_table, gain_over


def test_table_has_the_gain_over_the_generation_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_timed(_: Path, __: str, command: list[str | Path], file: Path) -> None:
        assert command[:3] == ["eval", tmp_path / "fast_rcnn" / "last.pt", tmp_path / "faster_rcnn" / "last.pt"]
        file.parent.mkdir()
        file.write_text(json.dumps({"difference": {"mAP": {"value": 0.03, "interval": [0.02, 0.05]}}}))

    monkeypatch.setattr(timed_commands, "run_timed", run_timed)
    gain = gain_over(tmp_path, "faster_rcnn", "fast_rcnn")
    assert gain == (0.03, 0.02, 0.05)
    searched = StageTimes(
        decode=9.0,
        search=0.1,
        transform=9.0,
        backbone=0.05,
        proposals=0.0,
        regions=0.15,
        head=0.1,
        postprocess=0.2,
        masks=0.0,
    )
    proposed = replace(searched, search=0.0, proposals=0.1, regions=0.05, postprocess=0.0)
    rows = {
        "fast_rcnn": GenerationResult(0.4, None, 10.0, searched),
        "faster_rcnn": GenerationResult(0.43, gain, 20.0, proposed),
    }
    lines = format_table(rows, 60.0, {"train": 4, "val": 5}, 84).splitlines()
    assert lines[2].startswith("| Fast R-CNN | 0.400 |  | 10.0 | 0.600 | 0.100 | 0.200 | 0.300 | 1.0 |")
    assert "| 0.430 | +0.030 (+0.020 to +0.050) | 20.0 |" in lines[3]
    assert "| 2.0 |" in lines[3]
    assert "One image in 4 of train, one in 5 of val" in lines[5]
    assert "medians on 84 images" in lines[5]
