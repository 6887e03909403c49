"""``detect bench explain``: what is measured, on an image whose mask is drawn around a detection."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detect.bench.explaining import energy_in
from detect.bench.explaining_cases import box_center, flat_box, masked_images
from detect.bench.explaining_targets import MethodMeans, targets_reached
from detect.bench.gradcam_peer import GRADCAM
from detect.errors import UserError
from detect.explain.attribution.heatmaps import to_image_pixels
from detect.explain.attribution.options import MethodOptions, no_progress
from detect.inference.predictor import load
from tests.conftest import Command
from tests.explain.handmade import SIDE, the_view

CHOICE = MethodOptions(no_progress)


@pytest.mark.parametrize("kind", ["fast_rcnn", "rcnn"])
def test_the_controls_fill_the_box_and_its_middle(kind: str) -> None:
    view = the_view(kind)
    x1, y1, x2, y2 = (round(float(edge)) for edge in view.detections[0].box)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[y1 - 1 : y2 + 1, x1 - 1 : x2 + 1] = True
    for control, share in ((flat_box, 1.0), (box_center, 0.01)):
        placed = to_image_pixels(control(view, CHOICE)[0], view, (SIDE, SIDE), (SIDE, SIDE))
        area = (x2 - x1) * (y2 - y1)
        assert energy_in(placed, inside) > 0.95
        assert float(placed.sum()) == pytest.approx(area * share, rel=0.25 if share == 1 else 1.0)


def test_energy_is_a_share_of_what_is_above_nothing() -> None:
    heat = np.array([[1.0, -5.0], [3.0, 0.0]])[:, :, None]
    mask = np.array([[True, True], [False, False]])
    assert energy_in(heat, mask) == 0.25
    assert energy_in(-np.abs(heat), mask) == 0.0


def voc(root: Path, image: Path, objects: list[tuple[str, list[float]]]) -> Path:
    for folder in ("Annotations", "JPEGImages", "SegmentationObject"):
        (root / folder).mkdir(parents=True)
    rgb = Image.open(image)
    rgb.save(root / "JPEGImages" / "a.jpg", quality=95)
    values, parts = np.zeros((rgb.height, rgb.width), np.uint8), ""
    for place, (name, (x1, y1, x2, y2)) in enumerate(objects, 1):
        values[round(y1) : round(y2), round(x1) : round(x2)] = place
        corners = zip(("xmin", "ymin", "xmax", "ymax"), (x1 + 1, y1 + 1, x2, y2), strict=True)
        box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in corners)
        shown = name.replace("<", "&lt;").replace(">", "&gt;")
        parts += f"<object><name>{shown}</name><bndbox>{box}</bndbox></object>"
    Image.fromarray(values).save(root / "SegmentationObject" / "a.png")
    (root / "Annotations" / "a.xml").write_text(f"<annotation>{parts}</annotation>", encoding="utf-8")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "val.txt").write_text("none\na\n")
    return root


def test_masks_go_with_the_objects_of_their_place(image: Path, tmp_path: Path) -> None:
    root = voc(tmp_path / "voc", image, [("cat", [0, 0, 10, 20]), ("dog", [30, 40, 50, 60])])
    (masked,) = masked_images(root, "val", 5)
    assert masked.names == ("cat", "dog")
    assert [int(mask.sum()) for mask in masked.masks] == [200, 400]
    assert masked.boxes.tolist() == [[0, 0, 10, 20], [30, 40, 50, 60]]
    (root / "SegmentationObject" / "a.png").unlink()
    with pytest.raises(UserError, match="expected masks"):
        masked_images(root, "val", 5)
    with pytest.raises(UserError, match=r"train\.txt: expected a list of images"):
        masked_images(root, "train", 5)


def test_the_table_has_a_row_for_each_contender(
    model: Path,
    image: Path,
    tmp_path: Path,
    detect_command: Command,
) -> None:
    jpeg = voc(tmp_path / "first", image, []) / "JPEGImages" / "a.jpg"
    found = load(model).predict(pixels_of(jpeg), score=0.0)
    best = (found.names()[0], found.boxes[0].tolist())
    root = voc(tmp_path / "voc", image, [best])
    file = tmp_path / "table.json"
    flags = ("--methods", "hirescam,drise", "--masks", 4, "--score", float(found.scores[0]) - 1e-6, "--json", file)
    status, said, err = detect_command("bench", "explain", model, root, *flags)
    assert (status, err) == (0, "")
    (table,) = json.loads(file.read_text())["tables"]
    rows = {row["method"]: row for row in table["rows"]}
    assert {"hirescam", "drise", "flat box", "centre of the box"} <= set(rows)
    assert rows["flat box"]["mask energy"] > 0.9
    assert rows["flat box"]["pointing"] == 1.0
    assert rows["drise"]["seeds' spread of energy"] is not None
    assert rows["hirescam"]["leakage"] is None
    assert "1 detections" in said


def test_a_wrong_method_is_told(model: Path, tmp_path: Path, detect_command: Command) -> None:
    status, _, err = detect_command("bench", "explain", model, tmp_path, "--methods", "gradcan")
    assert (status, err.count("\n")) == (2, 1)
    assert '(did you mean "gradcam"?)' in err


def pixels_of(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB"))


def means(energy: float | None, gain: float | None, leakage: float | None) -> MethodMeans:
    return MethodMeans(energy, None, gain, leakage, None, None, None)


@pytest.mark.parametrize(
    ("ours", "all_three"),
    [
        ({}, "MISSED by all"),
        ({"a": means(None, None, None)}, "MISSED by all"),
        ({"a": means(0.5, 0.5, 0.09)}, "reached by a"),
        ({"a": means(0.3, 0.5, 0.1)}, "MISSED by all"),  # as good is not above
        ({"a": means(0.5, 0.2, 0.1)}, "MISSED by all"),
        ({"a": means(0.5, 0.5, 0.11)}, "MISSED by all"),
        ({"a": means(0.5, 0.2, 0.1), "b": means(0.3, 0.5, 0.1)}, "MISSED by all"),  # no one of them
        ({"b": means(0.4, 0.5, 0.0), "a": means(0.5, 0.5, 0.09), "c": means(0.1, 0.5, 0.1)}, "reached by b, a"),
    ],
)
def test_bars_are_reached_by_one_method_at_once(ours: dict[str, MethodMeans], all_three: str) -> None:
    theirs = {GRADCAM: means(0.2, 0.4, 0.3), "other": means(0.3, 0.1, None)}
    assert targets_reached(ours, theirs)[-1] == f"all three: {all_three}"
