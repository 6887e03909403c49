"""tools/compare_generations.py: files of another comparison are refused, gains have the sign of the later one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detect.errors import UserError
from tools import timed_commands
from tools.compare_generations import GenerationResult, StageTimes, format_table, gain_over, make_subset


def write_voc_lists(folder: Path) -> Path:
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name in ("train", "val"):
        (lists / f"{name}.txt").write_text("".join(f"{index:06}\n" for index in range(11)))
    return folder


@pytest.mark.parametrize(
    ("every", "from_other_root", "message"),
    [
        (5, True, "Annotations: expected a link to .*other/Annotations, found one to .*voc/Annotations; give another"),
        (3, False, "val.txt: expected one image in 3 .*found other images; give another --out"),
    ],
)
def test_make_subset_refuses_a_folder_with_other_images(
    every: int, from_other_root: bool, message: str, tmp_path: Path
) -> None:
    first, second = write_voc_lists(tmp_path / "voc"), write_voc_lists(tmp_path / "other")
    for _ in range(2):
        subset = make_subset(first, tmp_path / "subset", {"train": 4, "val": 5})
    assert (subset / "ImageSets" / "Main" / "val.txt").read_text() == "000000\n000005\n000010\n"
    with pytest.raises(UserError, match=message):
        make_subset(second if from_other_root else first, tmp_path / "subset", {"train": 4, "val": every})


def test_table_has_the_gain_over_the_generation_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_timed(_: Path, __: str, command: list[str | Path], file: Path) -> None:
        assert command[:3] == ["eval", tmp_path / "fast_rcnn" / "last.pt", tmp_path / "faster_rcnn" / "last.pt"]
        file.parent.mkdir()
        file.write_text(json.dumps({"difference": {"mAP": {"value": 0.03, "interval": [0.02, 0.05]}}}))

    monkeypatch.setattr(timed_commands, "run_timed", run_timed)
    gain = gain_over(tmp_path, "faster_rcnn", "fast_rcnn")
    assert gain == (0.03, 0.02, 0.05)
    times = StageTimes(proposals=0.1, features=0.2, heads=0.3)
    rows = {
        "fast_rcnn": GenerationResult(0.4, None, 10.0, times),
        "faster_rcnn": GenerationResult(0.43, gain, 20.0, StageTimes(0.1, 0.1, 0.1)),
    }
    lines = format_table(rows, 60.0, {"train": 4, "val": 5}).splitlines()
    assert lines[2].startswith("| Fast R-CNN | 0.400 |  | 10.0 | 0.600 |")
    assert "| 0.430 | +0.030 (+0.020 to +0.050) | 20.0 |" in lines[3]
    assert "| 2.0 |" in lines[3]
    assert "One image in 4 of train, one in 5 of val" in lines[5]
