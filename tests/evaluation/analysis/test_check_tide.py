from __future__ import annotations

import json
import math
import runpy
import stat
import sys
from pathlib import Path

import pytest

from detect.evaluation.analysis.error_types import ERROR_TYPES
from detect.inference.result_writers import write_json
from tests.evaluation.example_data import prediction

TOOL = Path(__file__).resolve().parents[3] / "tools" / "check_tide.py"
CORNERS = "<xmin>11</xmin><ymin>21</ymin><xmax>60</xmax><ymax>80</ymax>"
OBJECT = f"<object><name>cat</name><difficult>0</difficult><bndbox>{CORNERS}</bndbox></object>"


@pytest.fixture
def voc_root(tmp_path: Path) -> Path:
    """One image with one cat, and two detections: one at the right position and one far away."""
    for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (tmp_path / folder).mkdir(parents=True)
    size = "<size><width>300</width><height>400</height></size>"
    (tmp_path / "Annotations" / "001.xml").write_text(f"<annotation>{size}{OBJECT}</annotation>", encoding="utf-8")
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("001\n", encoding="utf-8")
    (tmp_path / "JPEGImages" / "001.jpg").write_bytes(b"")
    found = prediction(1, [((10.0, 20.0, 60.0, 80.0), 1, 0.5), ((200.0, 200.0, 250.0, 250.0), 1, 0.75)])
    write_json(tmp_path / "found.json", [found], ("cat",))
    return tmp_path


def tidecv_output(map_: float, background: int) -> dict[str, object]:
    """Return metrics as tidecv writes them, in percent."""
    kinds = dict.fromkeys(("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"), 0.0)
    return {
        "mAP": map_,
        "main": kinds | {"Bkg": 50.0},
        "special": {"FalsePos": 50.0, "FalseNeg": 0.0},
        "counts": kinds | {"Bkg": background},
    }


@pytest.mark.parametrize(
    ("record", "status", "difference"),
    [(tidecv_output(50.0, 1), 0, 0.0), (tidecv_output(50.001, 1), 1, 1e-3), (tidecv_output(50.0, 2), 1, 1.0)],
)
def test_check_tide_reports_a_difference(record, status, difference, voc_root, monkeypatch, capsys):
    python = voc_root / "python"  # stands for the other interpreter
    python.write_text(f"#!/bin/sh\ncat > {voc_root}/request.json\necho '{json.dumps(record)}'\n", encoding="utf-8")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    flags = ["--root", voc_root, "--split", "val", "--results", voc_root / "found.json", "--tide-python", python]
    monkeypatch.setattr(sys, "argv", list(map(str, [TOOL, *flags])))
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOL), run_name="__main__")
    assert stop.value.code == status
    printed_rows = capsys.readouterr().out
    assert "1 images, 1 objects, 2 detections" in printed_rows
    assert float(printed_rows.split("largest difference: ")[1]) == pytest.approx(difference, abs=1e-9)
    assert all(f"dAP {kind}" in printed_rows and f"count {kind}" in printed_rows for kind in ERROR_TYPES)
    request = json.loads((voc_root / "request.json").read_text(encoding="utf-8"))
    assert request["truth"] == [[0, 1, [10.0, 20.0, 50.0, 60.0], False]]
    assert request["detections"][0] == [0, 1, [200.0, 200.0, 50.0, 50.0], 0.75]


@pytest.mark.parametrize(
    ("ours", "theirs", "difference"),
    [
        ({}, {}, 0.0),
        ({"a": None}, {"a": None}, 0.0),
        ({"a": 1.0}, {"a": 1.5}, 0.5),
        ({"a": None}, {"a": 1.0}, math.inf),
        ({}, {"a": 1.0}, math.inf),
        ({"a": math.nan, "b": 1.0}, {"a": 1.0, "b": 1.0}, math.inf),
    ],
)
def test_largest_difference(ours, theirs, difference):
    assert runpy.run_path(str(TOOL))["largest_difference"](ours, theirs) == difference
