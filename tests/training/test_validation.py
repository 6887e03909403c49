"""Validation alone, with a detector that returns prepared boxes: its metrics, losses and unreadable images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from detect.data.annotations import Annotations, ImageAnnotation
from detect.evaluation.score import Metric
from detect.models.detector import Detector
from detect.ops.preprocess import Preprocess
from detect.system.device import ComputeConfig
from detect.training.validation import DetectionValidator
from detect.types import Detections, Images, MeanLoss, Proposals, Targets

Box = tuple[float, float, float, float]
ObjectSpec = tuple[Box, str]  # a box of class 1, and its mark: "", "difficult" or "crowd"

SIDE = 32  # pixels of each image, which are not resized
LEFT: Box = (2, 2, 12, 12)
RIGHT: Box = (20, 20, 30, 30)


class FixedDetector:
    """Returns the same boxes, of class 1 and with falling scores, for each image; losses count images and targets."""

    test_selection = None

    def __init__(self, boxes: Sequence[Box]) -> None:
        self.boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
        self.scores = torch.linspace(0.9, 0.1, len(boxes))

    def eval(self) -> None:
        pass

    def backbone(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return (pixels,)

    def detect(self, images: Images, maps: Sequence[Tensor]) -> list[Detections]:  # noqa: ARG002 - a detector's interface
        labels = torch.ones(len(self.boxes), dtype=torch.int64)
        return [Detections(boxes=self.boxes, scores=self.scores, labels=labels)] * len(images)

    def proposer(self, images: Images, features: Sequence[Tensor], selection: None) -> SimpleNamespace:  # noqa: ARG002
        return SimpleNamespace(proposals=(Proposals(boxes=self.boxes, scores=self.scores),) * len(images))

    def __call__(
        self,
        images: Images,
        targets: Sequence[Targets],
        maps: Sequence[Tensor],  # noqa: ARG002
    ) -> dict[str, MeanLoss]:
        objects = sum(len(target) for target in targets)
        return {
            "images": MeanLoss(value=torch.tensor(1.0), count=len(images)),
            "objects": MeanLoss(value=torch.tensor(objects / len(images)), count=len(images)),
        }


def make_annotations(folder: Path, *images: Sequence[ObjectSpec]) -> Annotations:
    """Black images, each with these objects of class 1."""
    entries = []
    for index, objects in enumerate(images):
        file = folder / f"{index}.png"
        cv2.imwrite(str(file), np.zeros((SIDE, SIDE, 3), np.uint8))
        boxes = np.array([box for box, _ in objects], np.float64).reshape(-1, 4)
        entries.append(
            ImageAnnotation(
                file=str(file),
                image_id=index + 1,
                size=(SIDE, SIDE),
                boxes=boxes,
                labels=np.ones(len(boxes), np.int64),
                difficult=np.array([mark == "difficult" for _, mark in objects], np.bool_),
                crowd=np.array([mark == "crowd" for _, mark in objects], np.bool_),
                areas=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
            )
        )
    return Annotations.from_images(entries, ("a",))


def validator(data: Annotations, metric: Metric = "voc12", proposals_only: bool = False) -> DetectionValidator:
    return DetectionValidator(
        annotations=data,
        preprocess=Preprocess(min_size=SIDE, max_size=SIDE, divisor=SIDE),
        metric=metric,
        batch_size=2,
        workers=0,
        compute=ComputeConfig(device=torch.device("cpu")),
        proposals_only=proposals_only,
    )


def detector(*boxes: Box) -> Detector:
    return cast(Detector, FixedDetector(boxes))


CASES: list[tuple[list[list[ObjectSpec]], list[Box], float | None]] = [
    ([], [LEFT], None),
    ([[]], [LEFT], None),
    ([[(LEFT, "")]], [], 0.0),
    ([[(LEFT, "")]], [LEFT], 1.0),
    ([[(LEFT, ""), (RIGHT, "")]], [LEFT], 0.5),
    ([[(LEFT, ""), (RIGHT, "difficult")]], [LEFT], 1.0),
]
MANY_IMAGES = ([[(LEFT, "")], [(LEFT, "")], [(RIGHT, "crowd")]], [LEFT, (20.0, 20, 24, 24)], 1.0)


@pytest.mark.parametrize(("images", "boxes", "mean_ap"), CASES)
def test_validator_scores_detections(
    images: list[list[ObjectSpec]], boxes: list[Box], mean_ap: float | None, tmp_path: Path
) -> None:
    data = make_annotations(tmp_path, *images)
    validation = validator(data).run(detector(*boxes))
    assert validation.primary_name == "mAP"
    assert validation.primary == (None if mean_ap is None else pytest.approx(mean_ap))
    assert validation.score is not None
    assert len(validation.predictions.predictions) == len(images)


@pytest.mark.parametrize(("images", "boxes", "recall"), [*CASES, MANY_IMAGES])
def test_validator_measures_recall_of_proposals(
    images: list[list[ObjectSpec]], boxes: list[Box], recall: float | None, tmp_path: Path
) -> None:
    validation = validator(make_annotations(tmp_path, *images), proposals_only=True).run(detector(*boxes))
    assert validation.metrics == {"recall": recall}
    assert validation.score is None


@pytest.mark.parametrize(
    ("metric", "proposals_only", "names"),
    [
        ("coco", False, ("AP", "AP50")),
        ("voc07", False, ("mAP",)),
        ("voc12", False, ("mAP",)),
        ("coco", True, ("recall",)),
    ],
)
def test_metric_names_are_those_of_the_metrics(
    metric: Metric, proposals_only: bool, names: tuple[str, ...], tmp_path: Path
) -> None:
    run = validator(make_annotations(tmp_path, [(LEFT, "")]), metric, proposals_only)
    assert run.metric_names == names
    validation = run.run(detector(LEFT))
    assert set(names) <= set(validation.metrics)
    assert validation.primary_name == names[0]


@pytest.mark.parametrize(
    ("images", "loss"),
    [([], 0.0), ([[]], 1.0), ([[(LEFT, "")]], 2.0), ([[(LEFT, ""), (RIGHT, "")], [], [(LEFT, "")]], 2.0)],
)
def test_validation_loss_is_the_mean_over_images(images: list[list[ObjectSpec]], loss: float, tmp_path: Path) -> None:
    assert validator(make_annotations(tmp_path, *images)).run(detector(LEFT)).loss == pytest.approx(loss)


def test_unreadable_image_is_named_and_has_no_detections(tmp_path: Path) -> None:
    data = make_annotations(tmp_path, [(LEFT, "")], [(LEFT, "")])
    Path(data.file(1)).write_bytes(b"no image")
    validation = validator(data).run(detector(LEFT))
    (line,) = validation.predictions.unreadable
    assert data.file(1) in line
    assert [len(prediction.boxes) for prediction in validation.predictions.predictions] == [1, 0]
    assert validation.primary == pytest.approx(0.5)
