"""Other programs read our results, and count what we count. Each needs its package, without which it is skipped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detect.data.formats.detect_format import detect_format
from detect.data.formats.read_folder import read_folder
from detect.data.formats.report import Report
from detect.data.formats.sizes import ImageSizes
from detect.evaluation.coco import evaluate_coco_json
from detect.evaluation.predictions import Prediction
from detect.inference.coco_ids import coco_ids
from detect.inference.image_detections import ImageDetections
from detect.inference.result_formats import write_format

CLASSES = ("cat", "dog")
SIZE = (100, 200)
NUM_IMAGES = 8


@pytest.fixture
def data_set(tmp_path: Path) -> tuple[Path, list[Prediction]]:
    """A COCO data set of photos with image ids from 40 and gaps between category ids, and detections near its boxes."""
    draw = np.random.default_rng(0)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    predictions: list[Prediction] = []
    for index in range(NUM_IMAGES):
        file = tmp_path / "photos" / f"{index}.jpg"
        file.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(file), draw.integers(0, 256, (*SIZE, 3), np.uint8))
        images.append({"id": 40 + index, "file_name": file.name, "height": SIZE[0], "width": SIZE[1]})
        corners = draw.uniform([0, 0], [120, 40], (5, 2))
        boxes = np.concatenate([corners, corners + draw.uniform(15, 60, (5, 2))], axis=1).round()
        labels = draw.integers(1, 3, 5)
        for (x1, y1, x2, y2), label in zip(boxes.tolist(), labels.tolist(), strict=True):
            box, sides = [x1, y1, x2 - x1, y2 - y1], (x2 - x1) * (y2 - y1)
            ids = {"id": len(annotations) + 1, "image_id": 40 + index, "category_id": (7, 3)[label - 1]}
            annotations.append({**ids, "bbox": box, "area": sides, "iscrowd": 0})
        near = (boxes + draw.normal(0, 4, boxes.shape)).round()  # exact in the single precision of torchmetrics
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 5)
        scores = draw.random(5).astype(np.float32).astype(np.float64)
        predictions.append(Prediction(str(file), SIZE[1], SIZE[0], near, scores, labels.astype(np.int64)))
    categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
    truth = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    return tmp_path / "gt.json", predictions


def write_coco(truth: Path, predictions: Sequence[Prediction]) -> Path:
    ids = coco_ids(truth, [prediction.file for prediction in predictions], CLASSES)
    write_format(truth.with_name("coco_results.json"), "coco", predictions, CLASSES, ids)
    return truth.with_name("coco_results.json")


def our_ap(truth: Path, predictions: Sequence[Prediction]) -> float:
    rows = json.loads(write_coco(truth, predictions).read_text())
    ap = evaluate_coco_json(json.loads(truth.read_text()), rows).metrics["AP"]
    assert ap is not None
    assert 0.1 < ap < 0.9
    return ap


def as_detections(prediction: Prediction) -> ImageDetections:
    boxes, scores = torch.from_numpy(prediction.boxes), torch.from_numpy(prediction.scores)
    labels = torch.from_numpy(prediction.labels)
    return ImageDetections(boxes, scores, labels, None, CLASSES, None, SIZE, prediction.file)


def test_pycocotools_scores_ours(data_set, capsys):
    truth, predictions = data_set
    gt = COCO(str(truth))
    evaluation = COCOeval(gt, gt.loadRes(str(write_coco(truth, predictions))), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    capsys.readouterr()
    assert evaluation.stats[0] == pytest.approx(our_ap(truth, predictions), abs=1e-12)


def test_pycocotools_reads_the_list_of_images_that_lies_beside(data_set, capsys):
    truth, predictions = data_set
    write_format(truth.with_name("dt.json"), "coco", predictions, CLASSES, None)
    listed = COCO(str(truth.with_name("dt_images.json")))
    assert len(listed.loadRes(str(truth.with_name("dt.json"))).getAnnIds(imgIds=[1])) == 5
    assert [listed.imgs[index]["file_name"] for index in (1, NUM_IMAGES)] == ["0.jpg", f"{NUM_IMAGES - 1}.jpg"]
    capsys.readouterr()


@pytest.mark.filterwarnings("ignore")
def test_torchmetrics_scores_ours(data_set):
    detection = pytest.importorskip("torchmetrics.detection", reason="the package torchmetrics is not installed here")
    truth, predictions = data_set
    targets: dict[int, list[dict[str, Any]]] = {40 + index: [] for index in range(NUM_IMAGES)}
    for row in json.loads(truth.read_text())["annotations"]:
        targets[row["image_id"]].append(row)
    metric = detection.MeanAveragePrecision(box_format="xyxy", iou_type="bbox")
    boxes = [torch.tensor([row["bbox"] for row in rows], dtype=torch.float64) for rows in targets.values()]
    metric.update(
        [as_detections(prediction).to_torchmetrics() for prediction in predictions],
        [
            {
                "boxes": torch.cat([box[:, :2], box[:, :2] + box[:, 2:]], 1),
                "labels": torch.tensor([{7: 1, 3: 2}[row["category_id"]] for row in rows]),
            }
            for box, rows in zip(boxes, targets.values(), strict=True)
        ],
    )
    # its recall thresholds are in single precision: a recall that equals one in double precision may lie beside it
    assert float(metric.compute()["map"]) == pytest.approx(our_ap(truth, predictions), abs=5e-4)


@pytest.mark.filterwarnings("ignore")
def test_supervision_takes_detections_and_labels(data_set):
    supervision = pytest.importorskip("supervision", reason="the package supervision is not installed here")
    truth, predictions = data_set
    theirs = as_detections(predictions[0]).to_supervision()
    names = [CLASSES[class_id] for class_id in theirs.class_id]
    assert names == theirs.data["class_name"].tolist() == as_detections(predictions[0]).names()
    write_format(truth.with_name("labels"), "yolo-labels", predictions, CLASSES, None)
    folder = truth.with_name("labels")
    read = supervision.DetectionDataset.from_yolo(
        str(folder / "images"), str(folder / "labels"), str(folder / "data.yaml")
    )
    assert tuple(read.classes) == CLASSES
    for path, _, labels in read:
        clipped = expected_boxes(predictions[int(Path(path).stem)])
        assert np.sort(labels.xyxy, axis=0) == pytest.approx(np.sort(clipped, axis=0), abs=1e-3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format_name", ["coco", "yolo", "voc"])
def test_what_supervision_writes_is_read(data_set, tmp_path, format_name):
    supervision = pytest.importorskip("supervision", reason="the package supervision is not installed here")
    _, predictions = data_set
    folder, photos = tmp_path / format_name, tmp_path / "photos"
    theirs = supervision.DetectionDataset(
        classes=list(CLASSES),
        images=[prediction.file for prediction in predictions],
        annotations={
            one.file: as_detections(replace(one, boxes=expected_boxes(one))).to_supervision() for one in predictions
        },
    )
    if format_name == "coco":
        theirs.as_coco(str(folder / "photos"), str(folder / "annotations.json"))
    elif format_name == "yolo":
        theirs.as_yolo(str(folder / "images"), str(folder / "labels"), str(folder / "data.yaml"))
    else:
        theirs.as_pascal_voc(str(folder / "JPEGImages"), str(folder / "Annotations"))
    assert detect_format(folder) == format_name
    read = read_folder(folder, detect_format(folder), None, Report(), ImageSizes())
    assert sorted(image.file.name for image in read.images) == sorted(file.name for file in photos.iterdir())
    for image in read.images:
        prediction = predictions[int(image.file.stem)]
        assert [each.name for each in image.objects] == [CLASSES[label - 1] for label in prediction.labels]
        assert [each.box for each in image.objects] == pytest.approx(expected_boxes(prediction), abs=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_slicer_of_supervision_takes_our_predictions(data_set):
    supervision = pytest.importorskip("supervision", reason="the package supervision is not installed here")
    _, predictions = data_set
    slicer = supervision.InferenceSlicer(
        callback=lambda _: as_detections(predictions[0]).to_supervision(), slice_wh=SIZE[::-1], overlap_wh=0
    )
    found = slicer(cv2.imread(predictions[0].file))
    assert np.sort(found.xyxy, axis=0) == pytest.approx(np.sort(predictions[0].boxes, axis=0))


@pytest.mark.filterwarnings("ignore")
def test_ultralytics_reads_the_labels(data_set, monkeypatch, tmp_path):
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path / "settings"))
    reader = pytest.importorskip("ultralytics.data.utils", reason="the package ultralytics is not installed here")
    truth, predictions = data_set
    folder = truth.with_name("labels")
    write_format(folder, "yolo-labels", predictions, CLASSES, None)
    for prediction in predictions:
        image = folder / "images" / Path(prediction.file).name
        (label_file,) = reader.img2label_paths([str(image)])
        checked = reader.verify_image_label((str(image), label_file, "", False, len(CLASSES), 0, 0, False))
        _, labels, shape, _, _, num_missing, num_found, num_empty, num_corrupt, message = checked
        assert (num_missing, num_found, num_empty, num_corrupt, message) == (0, 1, 0, 0, "")
        center, sides = labels[:, 1:3] * [SIZE[1], SIZE[0]], labels[:, 3:] * [SIZE[1], SIZE[0]]
        boxes = np.concatenate([center - sides / 2, center + sides / 2], 1)
        order = np.argsort(-prediction.scores)
        assert shape == SIZE
        assert boxes == pytest.approx(expected_boxes(prediction)[order], abs=1e-3)
        assert (labels[:, 0] + 1).tolist() == prediction.labels[order].tolist()


def expected_boxes(prediction: Prediction) -> np.ndarray:
    """The boxes clipped to the image."""
    limits = np.array([SIZE[1], SIZE[0]] * 2)
    return replace(prediction, boxes=np.clip(prediction.boxes, 0, limits)).boxes
