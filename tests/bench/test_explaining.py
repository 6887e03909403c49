"""``detect bench explain``: its measures, on an image whose mask is drawn around a detection."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detect.bench.explaining import energy_in
from detect.bench.explaining_cases import box_center, flat_box, masked_images
from detect.bench.explaining_targets import MethodMeans, targets_met
from detect.bench.gradcam_peer import GRADCAM
from detect.errors import UserError
from detect.explain.attribution.heatmaps import to_image_pixels
from detect.explain.attribution.options import MethodOptions, no_progress
from detect.inference.predictor import load
from tests.conftest import Command
from tests.explain.example_detectors import SIDE, make_target

OPTIONS = MethodOptions(no_progress)


@pytest.mark.parametrize("kind", ["fast_rcnn", "rcnn"])
def test_baselines_fill_the_box_and_its_center(kind: str) -> None:
    target = make_target(kind)
    x1, y1, x2, y2 = (round(float(edge)) for edge in target.detections[0].box)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[y1 - 1 : y2 + 1, x1 - 1 : x2 + 1] = True
    for baseline, area_fraction in ((flat_box, 1.0), (box_center, 0.01)):
        heatmap = to_image_pixels(baseline(target, OPTIONS)[0], target, (SIDE, SIDE), (SIDE, SIDE))
        area = (x2 - x1) * (y2 - y1)
        assert energy_in(heatmap, inside) > 0.95
        assert float(heatmap.sum()) == pytest.approx(area * area_fraction, rel=0.25 if area_fraction == 1 else 1.0)


def test_energy_in_is_a_fraction_of_the_values_above_zero() -> None:
    heat = np.array([[1.0, -5.0], [3.0, 0.0]])[:, :, None]
    mask = np.array([[True, True], [False, False]])
    assert energy_in(heat, mask) == 0.25
    assert energy_in(-np.abs(heat), mask) == 0.0


def write_voc(root: Path, image: Path, objects: list[tuple[str, list[float]]]) -> Path:
    for folder in ("Annotations", "JPEGImages", "SegmentationObject"):
        (root / folder).mkdir(parents=True)
    rgb = Image.open(image)
    rgb.save(root / "JPEGImages" / "a.jpg", quality=95)
    values, parts = np.zeros((rgb.height, rgb.width), np.uint8), ""
    for index, (name, (x1, y1, x2, y2)) in enumerate(objects, 1):
        values[round(y1) : round(y2), round(x1) : round(x2)] = index
        corners = zip(("xmin", "ymin", "xmax", "ymax"), (x1 + 1, y1 + 1, x2, y2), strict=True)
        box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in corners)
        escaped = name.replace("<", "&lt;").replace(">", "&gt;")
        parts += f"<object><name>{escaped}</name><bndbox>{box}</bndbox></object>"
    Image.fromarray(values).save(root / "SegmentationObject" / "a.png")
    (root / "Annotations" / "a.xml").write_text(f"<annotation>{parts}</annotation>", encoding="utf-8")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "val.txt").write_text("none\na\n")
    return root


def test_masked_images_pairs_masks_with_their_objects(image: Path, tmp_path: Path) -> None:
    root = write_voc(tmp_path / "voc", image, [("cat", [0, 0, 10, 20]), ("dog", [30, 40, 50, 60])])
    (masked,) = masked_images(root, "val", 5)
    assert masked.names == ("cat", "dog")
    assert [int(mask.sum()) for mask in masked.masks] == [200, 400]
    assert masked.boxes.tolist() == [[0, 0, 10, 20], [30, 40, 50, 60]]
    (root / "SegmentationObject" / "a.png").unlink()
    with pytest.raises(UserError, match="expected masks"):
        masked_images(root, "val", 5)
    with pytest.raises(UserError, match=r"train\.txt: expected a list of images"):
        masked_images(root, "train", 5)


def test_table_has_a_row_for_each_variant(
    model: Path,
    image: Path,
    tmp_path: Path,
    detect_command: Command,
) -> None:
    jpeg = write_voc(tmp_path / "first", image, []) / "JPEGImages" / "a.jpg"
    detections = load(model).predict(read_pixels(jpeg), score=0.0)
    best = (detections.names()[0], detections.boxes[0].tolist())
    root = write_voc(tmp_path / "voc", image, [best])
    file = tmp_path / "table.json"
    flags = ("--methods", "hirescam,drise", "--masks", 4, "--score", float(detections.scores[0]) - 1e-6, "--json", file)
    status, stdout, err = detect_command("bench", "explain", model, root, *flags)
    assert (status, err) == (0, "")
    (table,) = json.loads(file.read_text())["tables"]
    rows = {row["method"]: row for row in table["rows"]}
    assert {"hirescam", "drise", "flat box", "center of the box"} <= set(rows)
    assert rows["flat box"]["mask energy"] > 0.9
    assert rows["flat box"]["pointing"] == 1.0
    assert rows["drise"]["std of energy over seeds"] is not None
    assert rows["hirescam"]["leakage"] is None
    assert "1 detections" in stdout


def test_unknown_method_is_refused_with_a_hint(model: Path, tmp_path: Path, detect_command: Command) -> None:
    status, _, err = detect_command("bench", "explain", model, tmp_path, "--methods", "gradcan")
    assert (status, err.count("\n")) == (2, 1)
    assert '(did you mean "gradcam"?)' in err


def read_pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB"))


def make_means(energy: float | None, gain: float | None, leakage: float | None) -> MethodMeans:
    return MethodMeans(energy, None, gain, leakage, None, None, None)


@pytest.mark.parametrize(
    ("ours", "all_three"),
    [
        ({}, "missed by all"),
        ({"a": make_means(None, None, None)}, "missed by all"),
        ({"a": make_means(0.5, 0.5, 0.09)}, "met by a"),
        ({"a": make_means(0.3, 0.5, 0.1)}, "missed by all"),  # equal is not above
        ({"a": make_means(0.5, 0.2, 0.1)}, "missed by all"),
        ({"a": make_means(0.5, 0.5, 0.11)}, "missed by all"),
        (
            {"a": make_means(0.5, 0.2, 0.1), "b": make_means(0.3, 0.5, 0.1)},
            "missed by all",
        ),  # neither method meets all
        (
            {"b": make_means(0.4, 0.5, 0.0), "a": make_means(0.5, 0.5, 0.09), "c": make_means(0.1, 0.5, 0.1)},
            "met by b, a",
        ),
    ],
)
def test_targets_met_needs_one_method_for_all_targets(ours: dict[str, MethodMeans], all_three: str) -> None:
    theirs = {GRADCAM: make_means(0.2, 0.4, 0.3), "other": make_means(0.3, 0.1, None)}
    assert targets_met(ours, theirs)[-1] == f"all three: {all_three}"
