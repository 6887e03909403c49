"""Tests the metrics of masks against pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.formats.mask_json import mask_record
from detect.data.masks import PackedMasks, PolygonMask, RleMask, encode, mask_area, mask_box, rasterize
from detect.data.sources import Source, load_sources
from detect.evaluation.coco import METRIC_NAMES, evaluate_coco_masks
from detect.evaluation.mask_columns import mask_fault
from detect.evaluation.predictions import Prediction, align
from detect.evaluation.score import evaluate

SIZE = (150, 140)
REAL = Path(__file__).resolve().parents[3] / "shared/data/coco_masks_captions"
Case = tuple[Annotations, list[Prediction]]


def blob(rng: np.random.Generator) -> np.ndarray:
    """A rectangle on a coarse grid, so that ties of IoU are common; sometimes a part of it, or empty."""
    bitmap = np.zeros(SIZE, bool)
    x, y = rng.integers(0, 5, 2) * 10
    side = rng.choice([10, 20, 40, 99])
    bitmap[y : y + side, x : x + rng.choice([10, 20, 100])] = True
    if rng.random() < 0.3:
        bitmap &= rng.random(SIZE) < rng.choice([0.0, 0.5, 0.9])
    return bitmap


def random_image(rng: np.random.Generator, image_id: int) -> tuple[ImageAnnotation, Prediction]:
    truths = [blob(rng) for _ in range(rng.integers(0, 6))]
    found = [blob(rng) for _ in range(rng.integers(0, 8))]
    found += [np.roll(mask, rng.integers(0, 4), axis=1) for mask in truths if rng.random() < 0.7]
    masks = [encode(mask) for mask in truths]
    count = len(truths)
    image = ImageAnnotation(
        file=f"/photos/{image_id}.jpg",
        image_id=image_id,
        size=SIZE,
        boxes=np.array([mask_box(mask) for mask in masks], np.float64).reshape(-1, 4),
        labels=rng.integers(1, 3, count),
        difficult=rng.random(count) < 0.1,
        crowd=rng.random(count) < 0.2,
        areas=np.array([mask_area(mask) for mask in masks], np.float64),
        masks=PackedMasks.pack(masks),
    )
    prediction = Prediction(
        file=image.file,
        width=SIZE[1],
        height=SIZE[0],
        boxes=np.array([mask_box(encode(mask)) for mask in found], np.float64).reshape(-1, 4),
        scores=rng.choice([0.1, 0.5, 0.5, 0.9], len(found)).astype(np.float64),
        labels=rng.integers(1, 3, len(found)),
        masks=tuple(encode(mask) for mask in found),
    )
    return image, prediction


def random_case(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    ids = rng.permutation(100)[: rng.integers(1, 4)]
    pairs = [random_image(rng, int(image_id)) for image_id in ids]
    return Annotations.from_images([image for image, _ in pairs], ["cat", "dog", "zebra"]), [p for _, p in pairs]


def pycocotools_metrics(annotations: Annotations, predictions: list[Prediction]) -> dict[str, float | None]:
    """The twelve numbers by files, loadRes and COCOeval; results have no bbox, as detectron2 writes them."""
    rows: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for index, prediction in enumerate(predictions):
        image = annotations[index]
        assert image.masks is not None
        for row in range(len(image.labels)):
            mask = image.masks[row]
            assert mask is not None
            x1, y1, x2, y2 = image.boxes[row].tolist()
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": image.image_id,
                    "category_id": int(image.labels[row]),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": float(image.areas[row]),
                    "iscrowd": int(image.crowd[row] or image.difficult[row]),
                    "segmentation": mask_record(rasterize(mask, image.size)),
                }
            )
        for label, score, mask in zip(prediction.labels, prediction.scores, prediction.masks or (), strict=True):
            found_row = {"image_id": image.image_id, "category_id": int(label), "score": float(score)}
            results.append({**found_row, "segmentation": mask_record(mask)})
    images = [{"id": int(i), "height": SIZE[0], "width": SIZE[1]} for i in annotations.image_ids]
    categories = [{"id": label, "name": name} for label, name in enumerate(annotations.classes, 1)]
    dataset: dict[str, Any] = {"images": images, "categories": categories, "annotations": rows}
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        truth.dataset = dataset
        truth.createIndex()
        if results:
            found = truth.loadRes(results)
        else:
            found.dataset = {**dataset, "annotations": []}
            found.createIndex()
        scorer = COCOeval(truth, found, "segm")
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    return {name: None if n == -1 else float(n) for name, n in zip(METRIC_NAMES, scorer.stats, strict=True)}


@pytest.mark.parametrize("seed", [*range(50), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(50, 200))])
def test_metrics_of_masks_equal_pycocotools(seed: int) -> None:
    annotations, predictions = random_case(seed)
    if mask_fault(annotations, predictions) is not None:
        return  # no masks at all: the table below
    ours = evaluate_coco_masks(annotations, predictions).metrics
    theirs = pycocotools_metrics(annotations, predictions)
    assert ours == {name: n if n is None else pytest.approx(n, abs=1e-12) for name, n in theirs.items()}


@pytest.mark.skipif(not REAL.is_dir(), reason="needs shared/data/coco_masks_captions")
def test_metrics_of_perturbed_polygons_of_coco_photos_equal_pycocotools() -> None:
    file = REAL / "annotations/instances_val.json"
    annotations = load_sources("coco", [Source(REAL, str(file), REAL / "val")], None, masks=True)
    rng = np.random.default_rng(0)
    predictions = []
    for index in range(len(annotations)):
        image = annotations[index]
        assert image.masks is not None
        masks = [_perturbed(image.masks[row], image.size, rng) for row in range(len(image.labels))]
        predictions.append(
            Prediction(
                image.file,
                image.size[1],
                image.size[0],
                image.boxes,
                rng.random(len(masks)).round(2),
                image.labels,
                tuple(masks),
            )
        )
    plain = replace(annotations, category_ids=np.arange(1, len(annotations.classes) + 1))
    ours, theirs = evaluate_coco_masks(plain, predictions).metrics, pycocotools_metrics(plain, predictions)
    assert ours == {name: n if n is None else pytest.approx(n, abs=1e-12) for name, n in theirs.items()}
    assert 0.1 < (ours["AP"] or 0) < 0.95


def _perturbed(mask: object, size: tuple[int, int], rng: np.random.Generator) -> RleMask:
    """The mask with corners moved by a few pixels."""
    if not isinstance(mask, PolygonMask):
        assert isinstance(mask, RleMask)
        return mask
    rings = (np.asarray(ring) + rng.normal(0, 2, len(ring)) for ring in mask.rings)
    return rasterize(PolygonMask(tuple(tuple(ring.tolist()) for ring in rings)), size)


def test_score_has_the_block_segm_only_where_all_have_masks() -> None:
    annotations, predictions = random_case(1)
    score = evaluate(annotations, predictions, "coco")
    assert score.segm == evaluate_coco_masks(annotations, predictions).metrics
    assert list(json.loads(json.dumps(score.to_dict()))["segm"]) == list(METRIC_NAMES)
    assert evaluate(annotations, predictions, "voc12").segm is None
    plain = [replace(prediction, masks=None) for prediction in predictions]
    no_masks = evaluate(annotations, plain, "coco")
    assert no_masks.metrics == score.metrics
    assert "segm" not in no_masks.to_dict()


def test_why_masks_are_not_scored() -> None:
    annotations, predictions = random_case(1)
    plain = [replace(prediction, masks=None) for prediction in predictions]
    assert mask_fault(annotations, predictions) is None
    assert mask_fault(annotations, plain) == "the detections have no masks"
    assert mask_fault(replace(annotations, masks=None), predictions) == "no masks of the objects were read"
    packed = PackedMasks.pack([None, *([encode(np.ones(SIZE, bool))] * (len(annotations.boxes) - 1))])
    total = len(annotations.boxes)
    assert mask_fault(replace(annotations, masks=packed), predictions) == f"1 of {total} objects have no mask"
    with pytest.raises(ValueError, match="expected masks, but the detections have no masks"):
        evaluate_coco_masks(annotations, plain)


def test_masks_survive_alignment_and_selection() -> None:
    annotations, predictions = random_case(1)
    assert align(annotations, predictions[::-1])[0].masks == predictions[0].masks
    keep = np.arange(len(predictions[0])) % 2 == 0
    assert predictions[0].masks is not None
    assert predictions[0].select(keep).masks == predictions[0].masks[::2]
