"""``detect bench explain``: its measures, on an image whose mask is drawn around a detection."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detect.bench import gradcam_peer
from detect.bench.explaining import measure_explanations
from detect.bench.explaining_cases import box_center, flat_box
from detect.bench.explaining_protocols import energy_in
from detect.bench.explaining_records import ExplanationRecords, ExplanationSettings, PhotoScores
from detect.bench.explaining_scores import EMPTY, ENERGY, GAIN, LEAKAGE
from detect.bench.explaining_tables import (
    CORRELATION,
    FLAT_BOX,
    RANDOM_IN_PROPOSAL,
    RANDOM_WEIGHTS,
    SEED_STD,
    explanation_tables,
)
from detect.bench.explaining_targets import targets_table
from detect.bench.gradcam_peer import PREFIX
from detect.bench.masked_images import masked_files
from detect.checkpoints.checkpoint import save_checkpoint
from detect.checkpoints.zoo import read_model
from detect.config.files import with_overrides
from detect.evaluation.analysis.bootstrap import MIN_IMAGES, Interval
from detect.explain.attribution.heatmaps import to_image_pixels
from detect.explain.attribution.options import MethodOptions, no_progress
from detect.inference.load import load
from tests.bench.masked_folders import write_voc
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


@pytest.mark.slow
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
    flags = (
        "--methods",
        "hirescam,drise",
        "--masks",
        4,
        "--score",
        float(detections.scores[0]) - 1e-6,
        "--json",
        file,
        "--similarity",
    )
    records = ("--records", tmp_path / "records.jsonl", "--similarity", "--randomized", 1, "--device", "cpu")
    status, stdout, err = detect_command("bench", "explain", model, root, *flags, *records)
    assert (status, err) == (0, "")
    assert "--masks 4 --score" in stdout
    assert "--randomized 1 --similarity --device cpu\n" in stdout
    (table, targets, protocols) = json.loads(file.read_text())["tables"]
    rows = {row["method"]: row for row in table["rows"]}
    assert {"hirescam", "drise", "flat box", "center of the box"} <= set(rows)
    assert rows["flat box"]["mask energy"] > 0.9
    assert rows["flat box"]["pointing"] > 0.9
    assert rows["drise"]["std of energy over seeds"] is not None
    assert rows["hirescam"]["leakage"] is None
    assert [row["method"] for row in targets["rows"]] == ["hirescam", "drise"]
    assert rows["flat box"]["correlation with random weights"] == pytest.approx(1)
    assert abs(rows["hirescam"]["correlation with random weights"]) < 1
    assert -1 <= rows["hirescam"][RANDOM_IN_PROPOSAL] < 1
    assert rows["center of the box"][RANDOM_IN_PROPOSAL] == pytest.approx(1)
    box = {row["method"]: row for row in protocols["rows"]}["flat box"]
    assert box["VEA"] > 0.9
    assert box["ODI of masks"] == 0
    assert 0 < box["D-RISE insertion"] <= 1.5
    assert "1 detections" in stdout
    first = file.read_text()  # with its seconds
    assert detect_command("bench", "explain", model, root, *flags, *records)[0] == 0
    assert file.read_text() == first


@pytest.mark.slow
def test_only_the_first_photos_are_compared_with_random_weights_and_other_seeds(
    model: Path, image: Path, tmp_path: Path
) -> None:
    predictor = load(model)
    jpeg = write_voc(tmp_path / "first", image, []) / "JPEGImages" / "a.jpg"
    detections = predictor.predict(read_pixels(jpeg), score=0.0)
    best = (detections.names()[0], detections.boxes[0].tolist())
    (file,) = masked_files(write_voc(tmp_path / "voc", image, [best]), "val", None)
    settings = ExplanationSettings(
        names=("drise", "gradcam"),
        options=MethodOptions(no_progress, masks=4),
        score=float(detections.scores[0]) - 1e-6,
        peers=(),
        num_randomized=1,
    )
    copy = replace(file, name="b.jpg", image=file.image.with_name("b.jpg"))
    shutil.copy(file.image, copy.image)
    with no_progress("", 0) as progress:
        photos = measure_explanations(predictor, [file, copy], settings, ExplanationRecords(None, {}), progress)
    for scores, compared in zip(photos, (True, False), strict=True):
        assert (SEED_STD in scores.values["drise"]) is (RANDOM_WEIGHTS in scores.values["drise"]) is compared
        assert SEED_STD not in scores.values["gradcam"]
    table, *_ = explanation_tables(photos, settings.names, 0.5, None, "command")
    assert f"{SEED_STD}: on 1 images" in table.notes


def test_unknown_method_is_refused_with_a_hint(model: Path, tmp_path: Path, detect_command: Command) -> None:
    status, _, err = detect_command("bench", "explain", model, tmp_path, "--methods", "gradcan")
    assert (status, err.count("\n")) == (2, 1)
    assert '(did you mean "gradcam"?)' in err


@pytest.mark.parametrize(
    ("peers", "message"),
    [
        (None, "--peers: expected the package pytorch-grad-cam, found none"),
        (
            {"GradCAM": object, "HiResCAM": object},
            "--peers: expected names among GradCAM, HiResCAM, found GradCan (did",
        ),
    ],
)
def test_unknown_peer_is_refused(
    peers: dict[str, object] | None,
    message: str,
    model: Path,
    tmp_path: Path,
    image: Path,
    detect_command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gradcam_peer, "peer_classes", lambda: peers or {})
    root = write_voc(tmp_path / "voc", image, [("disk", [0, 0, 9, 9])])
    status, _, err = detect_command("bench", "explain", model, root, "--peers", "GradCan")
    assert (status, err.count("\n")) == (2, 1)
    assert message in err


def test_objects_of_other_classes_are_counted(
    model: Path, image: Path, tmp_path: Path, detect_command: Command
) -> None:
    root = write_voc(tmp_path / "voc", image, [("unicorn", [0, 0, 9, 9]), ("unicorn", [9, 9, 20, 20])])
    status, stdout, _ = detect_command("bench", "explain", model, root, "--peers", "none", "--methods", "gradcam")
    assert status == 0
    assert "2 objects with a mask are of classes that the model does not have: left out" in stdout


@pytest.mark.parametrize("setting", [None, "flip=true", "scales=[2]", "slice.size=64"])
def test_a_model_that_merges_views_is_said_to_be_measured_in_one(
    setting: str | None, model: Path, image: Path, tmp_path: Path, detect_command: Command
) -> None:
    saved, _ = read_model(model)
    changed, page = tmp_path / "changed.pt", tmp_path / "page.md"
    overrides = [] if setting is None else [f"model.test_time.{setting}"]
    save_checkpoint(replace(saved, config=with_overrides(saved.config, overrides)), changed)
    root = write_voc(tmp_path / "voc", image, [])
    flags = ("--peers", "none", "--methods", "gradcam", "--out", page)
    status, stdout, err = detect_command("bench", "explain", changed, root, *flags)
    assert (status, err) == (0, "")
    said = "Its model.test_time is not used: the detections are those in one view of each whole image."
    assert (said in stdout.splitlines()) is (said in page.read_text()) is (setting is not None)


def read_pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB"))


def make_photos(scores: dict[str, tuple[float, float, float | None]]) -> list[PhotoScores]:
    """As many photos with the same scores as an interval needs."""
    return [make_photo(scores, f"{index}.jpg") for index in range(MIN_IMAGES)]


def make_photo(scores: dict[str, tuple[float, float, float | None]], image: str = "a.jpg") -> PhotoScores:
    """A photo with one detection: energy, gain and leakage of each method."""
    columns = {name: {ENERGY: (a,), GAIN: (b,), LEAKAGE: (c,), EMPTY: (0.0,)} for name, (a, b, c) in scores.items()}
    return PhotoScores(image, 1, columns)


PEERS = {f"{PREFIX}GradCAM": (0.2, 0.4, 0.3), f"{PREFIX}EigenCAM": (0.3, 0.1, None), FLAT_BOX: (0.4, 0.4, 0.1)}


@pytest.mark.parametrize(
    ("ours", "all_three"),
    [
        ({}, "not judged"),
        ({"a": (0.5, 0.5, None)}, "not judged"),
        ({"a": (0.5, 0.5, None), "b": (0.1, 0.5, 0.09)}, "missed by all that were judged"),
        ({"a": (0.3, 0.5, None)}, "missed by all"),  # one target is missed, whatever the other would be
        ({"a": (0.5, 0.5, 0.09)}, "met by a"),
        ({"a": (0.3, 0.5, 0.09)}, "missed by all"),  # equal is not above
        ({"a": (0.5, 0.4, 0.09)}, "missed by all"),
        ({"a": (0.5, 0.5, 0.1)}, "missed by all"),
        ({"a": (0.5, 0.2, 0.09), "b": (0.3, 0.5, 0.09)}, "missed by all"),  # neither method meets all
        ({"b": (0.4, 0.5, 0.0), "a": (0.5, 0.5, 0.09), "c": (0.1, 0.5, 0.09)}, "met by b, a"),
    ],
)
def test_one_method_must_meet_all_targets(ours: dict[str, tuple[float, float, float | None]], all_three: str) -> None:
    photos = make_photos(PEERS | ours)
    table = targets_table(photos, list(ours), FLAT_BOX, list(PEERS)[:2], "")
    assert table.notes[-1] == f"all three: {all_three}"
    assert [row[0] for row in table.rows] == list(ours)


def test_targets_without_peers_are_not_judged() -> None:
    table = targets_table(make_photos(PEERS | {"a": (0.5, 0.5, 0.09)}), ["a"], FLAT_BOX, [], "")
    assert [note.partition(": ")[2] for note in table.notes[-4:]] == ["met by a", *["not judged"] * 3]
    assert table.rows[0][2:] == (None, None, "1 of 1")


def test_targets_of_too_few_photos_are_not_judged() -> None:
    photos = make_photos(PEERS | {"a": (0.5, 0.5, 0.09)})[:-1]
    table = targets_table(photos, ["a"], FLAT_BOX, list(PEERS)[:2], "")
    assert [note.partition(": ")[2] for note in table.notes[-4:]] == ["not judged"] * 4
    assert table.rows == (("a", *(pytest.approx(difference) for difference in (-0.01, 0.2, 0.1)), "0 of 0"),)


def test_the_best_peer_is_named_for_each_target() -> None:
    table = targets_table(make_photos(PEERS | {"a": (0.5, 0.5, 0.09)}), ["a"], FLAT_BOX, list(PEERS)[:2], "")
    assert f"best peers: a: {PREFIX}EigenCAM in mask energy; a: {PREFIX}GradCAM in insertion - deletion" in table.notes


def test_columns_of_few_photos_have_no_interval_and_count_constant_maps() -> None:
    def photo(index: int, correlation: float | None) -> PhotoScores:
        scores = make_photo(PEERS, f"{index}.jpg")
        few = {RANDOM_WEIGHTS: (correlation,), RANDOM_IN_PROPOSAL: (correlation,)} if index < MIN_IMAGES - 1 else {}
        return replace(
            scores, values={name: {**values, CORRELATION: (), **few} for name, values in scores.values.items()}
        )

    photos = [photo(index, 0.5 if index else None) for index in range(MIN_IMAGES)]
    leakages = {name: {**values, LEAKAGE: (None,)} for name, values in photos[0].values.items()}
    photos[0] = replace(photos[0], values=leakages)
    table, *_ = explanation_tables(photos, [], 0.5, None, "command")
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert isinstance(row[ENERGY], Interval)
    assert row[RANDOM_WEIGHTS] == 0.5
    assert row[LEAKAGE] == pytest.approx(0.3)  # of one photo less
    assert f"{MIN_IMAGES - 1} detections in {MIN_IMAGES - 1} images with such objects" in " ".join(table.notes)
    (note,) = (note for note in table.notes if note.startswith(f"{RANDOM_WEIGHTS}: of "))
    assert note.startswith(f"{RANDOM_WEIGHTS}: of {MIN_IMAGES - 1} detections; those without")
    assert note.endswith(f"{PREFIX}GradCAM 1, {PREFIX}EigenCAM 1, {FLAT_BOX} 1")


def test_a_target_is_met_by_the_interval_not_by_the_mean() -> None:
    energies = [(0.9, 0.2), (-0.4, 0.2)] * (MIN_IMAGES // 2)  # of the method and of the peer: 0.05 higher in the mean
    peer = f"{PREFIX}GradCAM"
    photos = [
        make_photo({"a": (ours, 0.5, 0.0), peer: (theirs, 0.1, 0.1), FLAT_BOX: (0, 0, 0.1)}, f"{i}.jpg")
        for i, (ours, theirs) in enumerate(energies)
    ]
    (row,) = targets_table(photos, ["a"], FLAT_BOX, [peer], "").rows
    assert row[-1] == "2 of 3"
    assert isinstance(row[2], Interval)
    assert row[2].low < 0 < row[2].value


def test_tables_of_no_photo_and_of_no_detection_have_no_row() -> None:
    for photos in ([], [PhotoScores("a.jpg", 0)]):
        table, targets, _ = explanation_tables(photos, ["a"], 0.5, 3, "command")
        assert table.rows == targets.rows == ()
        assert "fewer than the 3 detections" in " ".join(table.notes)


def test_a_method_that_failed_on_a_photo_has_no_row_but_its_reason() -> None:
    name = f"{PREFIX}GradCAM"
    others = {method: scores for method, scores in PEERS.items() if method != name}
    failed = replace(make_photo(others), failures={name: "ValueError: no"})
    table, *_ = explanation_tables([make_photo(PEERS, "b.jpg"), failed], [], 0.5, None, "command")
    assert name not in [row[0] for row in table.rows]
    assert f"{name} has no row: it fails on 1 of 2 images (ValueError: no)" in table.notes
