"""Detection in slices: a mosaic of photos, cut into them again, gives the detections of the photos."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.cli.main import run
from detect.config.builders.data import load_split
from detect.config.builders.detector import build_detector, build_preprocess
from detect.config.files import merge_overrides, parse_config, with_overrides
from detect.errors import UnreadableImage
from detect.inference.load import load
from detect.inference.prediction_journal import BatchResult, PredictionJournal
from detect.inference.predictor import Predictor
from detect.inference.read_ahead import read_ahead
from detect.models.slices import Slicing
from detect.types import Detections
from tests.conftest import TINY, Command
from tests.models.test_detector import sharpen

HEIGHT, WIDTH = 90, 120
CLASSES = ("a", "b")
SLICES = ["model.test_time.slice.size=[120,90]", "model.test_time.slice.overlap=0"]


def save_model(folder: Path, overrides: list[str], classes: tuple[str, ...] = CLASSES) -> Path:
    config = parse_config(merge_overrides(TINY, [f"data.classes=[{','.join(classes)}]", *overrides]), "test")
    detector, _ = build_detector(config, classes)
    weights = sharpen(detector).state_dict()
    save_checkpoint(Checkpoint(config, classes, build_preprocess(config), weights, 0, {}), folder / "tiny.pt")
    return folder / "tiny.pt"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"), [])


def photos() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [cv2.resize(draw.integers(0, 256, (9, 12, 3), np.uint8), (WIDTH, HEIGHT)) for _ in range(6)]


def mosaic() -> np.ndarray:
    tiles = photos()
    return np.concatenate([np.concatenate(tiles[:3], 1), np.concatenate(tiles[3:], 1)])


@pytest.mark.parametrize(
    ("overrides", "batch_size"),
    [
        ([], 1),
        ([], 4),
        (["model.kind=mask_rcnn", "model.postprocess.max_detections=5"], 4),
        (["model.kind=fast_rcnn", "model.proposals=selective_search", "model.search.test_top_n=20"], 4),
        (["model.test_time.flip=true", "model.postprocess.max_detections=5"], 4),
    ],
)
def test_each_slice_gives_the_detections_of_its_photo(overrides: list[str], batch_size: int, tmp_path: Path) -> None:
    sliced = load(save_model(tmp_path, overrides), "cpu", overrides=SLICES)
    assert sliced.slicing is not None
    views = sliced.detect_views(sliced.slicing, mosaic(), 0, batch_size)
    alone = Predictor(sliced.detector, CLASSES, sliced.preprocess, sliced.config, sliced.file, sliced.compute)
    alone.proposal_search = sliced.proposal_search
    for index, photo in enumerate(photos()):
        detections, expected = views.detections.select(views.view_index == index + 1), alone.predict(photo, 0)
        assert len(detections) == len(expected) > 0
        corner = torch.tensor([index % 3 * WIDTH, index // 3 * HEIGHT] * 2)
        torch.testing.assert_close(detections.boxes - corner, expected.boxes.double(), atol=2e-4, rtol=0)
        torch.testing.assert_close(detections.scores, expected.scores)
        assert detections.labels.tolist() == expected.labels.tolist()
        assert (detections.masks is None) == (expected.masks is None) == ("mask_rcnn" not in str(overrides))
        if detections.masks is not None and expected.masks is not None:
            torch.testing.assert_close(detections.masks, expected.masks, atol=1e-5, rtol=0)
    whole = views.detections.select(views.view_index == 0)
    assert len(whole) == len(alone.predict(mosaic(), 0))


def overlap(a: list[float], b: list[float], metric: str) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (min(areas) if metric == "ios" else sum(areas) - shared)


@pytest.mark.parametrize("metric", ["iou", "ios"])
def test_the_merge_is_one_greedy_suppression_within_each_class(metric: Any) -> None:
    draw = np.random.default_rng(1)
    views = []
    for _ in range(5):
        corners, sides = draw.random((20, 2)) * 60, 10 + draw.random((20, 2)) * 30
        view_boxes = torch.from_numpy(np.concatenate([corners, corners + sides], 1))
        scores = torch.from_numpy(np.sort(draw.random(20))[::-1].copy())
        views.append(Detections(view_boxes, scores, torch.from_numpy(draw.integers(1, 3, 20)), classes=CLASSES))
    slicing = Slicing((32, 32), 0.2, metric, 0.4)
    merged = slicing.merge(views)
    boxes, labels = merged.detections.boxes.tolist(), merged.detections.labels.tolist()
    keep: list[int] = []
    for index in sorted(range(100), key=lambda index: -float(merged.detections.scores[index])):
        rivals = (other for other in keep if labels[other] == labels[index])
        if all(overlap(boxes[index], boxes[other], metric) <= 0.4 for other in rivals):
            keep.append(index)
    assert merged.keep.tolist() == keep
    assert 0 < len(keep) < 100
    assert merged.view_index.tolist() == [i // 20 for i in range(100)]
    assert merged.rank_in_view.tolist() == [i % 20 for i in range(100)]
    suppressor = slicing.suppressed_by(merged.detections).tolist()
    assert [index for index in range(100) if suppressor[index] == index] == sorted(keep)


def test_views_without_detections_are_merged_to_none() -> None:
    none = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    assert len(Slicing((32, 32), 0.2, "iou", 0.5).merge([none, none]).merged) == 0


def test_an_image_no_larger_than_a_slice_is_one_view(model: Path) -> None:
    sliced, plain = load(model, "cpu", overrides=SLICES), load(model, "cpu")
    (photo, *_), expected = photos(), plain.predict(photos()[0], 0)
    detections = sliced.predict(photo, 0)
    assert (detections.boxes.tolist(), detections.scores.tolist()) == (
        expected.boxes.tolist(),
        expected.scores.tolist(),
    )


@pytest.mark.parametrize("images_done", [0, 1])
def test_predict_in_slices_resumes_to_the_same_files(
    images_done: int, model: Path, tmp_path: Path, detect_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, rgb in (("a.png", mosaic()), ("b.png", photos()[0])):
        cv2.imwrite(str(folder / name), rgb[:, :, ::-1])
    (folder / "c.png").write_text("text")
    command = ["predict", model, folder, "--score", "0.2", "--slice", "120x90", "--overlap", "0", "--format", "json"]
    status, _, err = detect_command(*command, "--out", tmp_path / "whole")
    assert (status, "c.png" in err) == (1, True)
    add, added = PredictionJournal.add, list[BatchResult]()

    def add_or_die(self: PredictionJournal, result: BatchResult) -> None:
        if len(added) == images_done:
            raise ZeroDivisionError
        added.append(result)
        add(self, result)

    with monkeypatch.context() as patched:
        patched.setattr(PredictionJournal, "add", add_or_die)
        patched.setattr(sys, "argv", [*map(str, ["detect", *command, "--out", tmp_path / "killed"])])
        with pytest.raises(ZeroDivisionError):
            run()
    assert detect_command(*command, "--out", tmp_path / "killed")[0] == 1
    texts = [(tmp_path / name / "predictions.json").read_bytes() for name in ("whole", "killed")]
    assert texts[0] == texts[1]
    large, small = json.loads(texts[0])
    expected = load(model, "cpu", overrides=SLICES).predict(mosaic(), 0.2)
    np.testing.assert_allclose([row["box"] for row in large["detections"]], expected.boxes.numpy(), atol=1e-3)
    assert len(large["detections"]) > len(small["detections"]) > 0


@pytest.mark.slow
def test_eval_with_slices_as_large_as_the_images_is_eval_without(
    shapes_root: Path, tmp_path: Path, detect_command: Command
) -> None:
    data = with_overrides(parse_config(TINY, "tiny"), [f"data.root={shapes_root}"])
    annotations = load_split(data, "val")
    model = save_model(tmp_path, [f"data.root={shapes_root}"], annotations.classes)
    side = max(max(annotations.size(index)) for index in range(len(annotations)))
    texts = []
    for name, flags in (("whole", []), ("sliced", ["--slice", side]), ("cut", ["--slice", 64])):
        file = tmp_path / f"{name}.json"
        status, _, err = detect_command("eval", model, "--save", file, *flags)
        assert (status, err) == (0, "")
        texts.append(json.loads(file.read_text()))
    whole, sliced, cut = ([row["score"] for image in text for row in image["detections"]] for text in texts)
    assert whole == pytest.approx(sliced, abs=1e-6)
    assert len(cut) > len(whole)


def test_trace_tells_the_slice_of_each_detection(model: Path, tmp_path: Path, detect_command: Command) -> None:
    image = tmp_path / "large.png"
    cv2.imwrite(str(image), mosaic()[:, :, ::-1])
    flags = ["--score", 0, "--max-detections", 3, *(part for override in SLICES for part in ("--set", override))]
    status, _, err = detect_command("explain", model, image, *flags, "--out", tmp_path / "out")
    assert (status, err) == (0, "")
    folder = tmp_path / "out" / "large.png"
    merged = json.loads((folder / "slices.json").read_text())
    predicted = load(model, "cpu", overrides=SLICES).predict(mosaic(), 0)
    assert [row["score"] for row in merged["detections"]] == pytest.approx(predicted.scores.tolist(), abs=1e-6)
    assert merged["slices"][:2] == [[0, 0, 3 * WIDTH, 2 * HEIGHT], [0, 0, WIDTH, HEIGHT]]
    assert {f"slice-{row['slice']:04}" for row in merged["detections"][:3]} == {
        path.name for path in folder.glob("slice-*")
    }
    for row in merged["detections"][:3]:
        trace = json.loads((folder / f"slice-{row['slice']:04}" / "trace.json").read_text())
        traced = trace["detections"][row["rank_in_slice"] - 1]
        assert (traced["score"], trace["slice"]) == (row["score"], merged["slices"][row["slice"]])
        assert traced["box_in_image"] == pytest.approx(row["box"])
    suppressed = [loser for row in merged["detections"] for loser in row["suppressed"]]
    assert all(loser["overlap"] > merged["match_threshold"] for loser in suppressed)
    assert len(suppressed) > 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--slice", "640,480"], "--slice: expected a side in pixels or WIDTHxHEIGHT"),
        (["--slice", "8"], "model.test_time.slice.size: expected greater than or equal to 32"),
        (["--slice", "640", "--overlap", "1"], "0<=x<=0.9"),
        (["--overlap", "0.4"], "(--overlap): expected a size of slices with it (--slice), found none"),
        (["--slice", "640", "--proposals", "p.npz"], "found one with an RPN"),
    ],
)
def test_wrong_slices_are_one_line(
    flags: list[str], message: str, model: Path, tmp_path: Path, detect_command: Command
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), photos()[0])
    status, _, err = detect_command("predict", model, tmp_path / "a.png", "--out", tmp_path / "out", *flags)
    assert status == 2
    assert message in err


def test_read_ahead_yields_images_and_errors_in_order(tmp_path: Path) -> None:
    assert list(read_ahead([])) == []
    cv2.imwrite(str(tmp_path / "a.png"), photos()[0])
    first, second, third = read_ahead([str(tmp_path / name) for name in ("no.png", "a.png", "no2.png")])
    assert isinstance(first, UnreadableImage)
    assert isinstance(second, np.ndarray)
    assert isinstance(third, UnreadableImage)
