from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.errors import UserError
from detect.training.curves import draw_curves, read_curves

HEADER = "step,epoch,lr,loss,loss_class,loss_box,data_seconds,val_loss,val_AP50\n"
TRAINED = "10,0.5,0.01,2.0,1.5,0.5,0.1,,\n20,1.0,0.01,1.0,0.7,0.3,0.1,,\n"
VALIDATED = "20,1.0,,,,,,1.2,0.4\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "metrics.csv"
    path.write_text(text)
    return path


def drawn(folder: Path, text: str) -> np.ndarray:
    draw_curves(write(folder, text), folder / "curves.png")
    image = cv2.imread(str(folder / "curves.png"))
    assert image is not None
    return image


def test_read_curves_blank_cells_are_nan(tmp_path: Path) -> None:
    curves = read_curves(write(tmp_path, HEADER + TRAINED + VALIDATED))
    assert curves["step"] == [10, 20, 20]
    assert curves["loss"][:2] == [2, 1]
    assert math.isnan(curves["loss"][2])
    assert [math.isnan(value) for value in curves["val_AP50"]] == [True, True, False]


@pytest.mark.parametrize("cut", ["20,1.0,0.01", "2"])
def test_read_curves_incomplete_last_row_is_skipped(tmp_path: Path, cut: str) -> None:
    assert read_curves(write(tmp_path, HEADER + TRAINED + cut))["step"] == [10, 20]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (HEADER, (1, 1)),
        ("step,loss\n1,0.5\n", (1, 1)),
        (HEADER + TRAINED, (1, 2)),
        (HEADER + TRAINED + VALIDATED, (2, 2)),
        ("epoch,val_AP\n1,nan\n2,0.5\n", (1, 1)),
        ("step,loss,region_class,adversary_mask\n1,0.5,0.4,0.0001\n", (1, 2)),
    ],
)
def test_draw_curves_has_a_panel_for_each_group_with_numbers(tmp_path: Path, text: str, shape: tuple[int, int]) -> None:
    rows, columns = shape
    image = drawn(tmp_path, text)
    assert image.shape[:2] == (rows * 384, columns * 600)
    for row in np.split(image, rows):
        for panel in np.split(row, columns, axis=1):
            assert (panel < 200).any()


def test_draw_curves_lines_follow_the_numbers(tmp_path: Path) -> None:
    rising, falling = (drawn(tmp_path, f"step,loss\n0,{a}\n10,{b}\n") for a, b in ((0.1, 1), (1, 0.1)))
    heights = []
    for image in (rising, falling):
        blue = (image[..., 0].astype(int) - image[..., 2]) > 100
        columns = np.flatnonzero(blue.any(axis=0))
        heights.append([np.flatnonzero(blue[:, x]).mean() for x in (columns[5], columns[-6])])
    assert heights[0][0] - heights[0][1] > 100  # rows count downwards
    assert heights[1][1] - heights[1][0] > 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty file"),
        ("loss,lr\n1,2\n", "step or epoch"),
        ("step,loss\n1,high\n", 'line 2, loss: expected a number, found "high"'),
        ("step,loss\n1,2\n3\n4,5\n", "2 cells"),
    ],
)
def test_draw_curves_invalid_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        draw_curves(write(tmp_path, text), tmp_path / "curves.png")
    assert "metrics.csv" in str(caught.value)
    assert not (tmp_path / "curves.png").exists()


def test_draw_curves_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"metrics\.csv: expected"):
        draw_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
