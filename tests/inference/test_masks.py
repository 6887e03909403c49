"""Tests that the masks of a detector reach predictions, in pixels of the original image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.loading.loader import evaluation_loader
from detect.data.masks import decode, encode
from detect.inference.dataset_pass import BatchOutput, as_prediction, run_on_dataset
from detect.inference.prediction_journal import BatchResult, PredictionJournal
from detect.ops.masks import paste_masks
from detect.ops.preprocess import Preprocess
from detect.system.device import ComputeConfig
from detect.types import Detections, Images, Targets
from tests.data.folders import write_image

LEFT_HALF = torch.cat([torch.ones(1, 8, 4), torch.zeros(1, 8, 4)], dim=2)


def detections(count: int) -> Detections:
    """The same box and mask ``count`` times."""
    boxes = torch.tensor([[20.0, 10, 60, 30]]).expand(count, 4)
    labels = torch.ones(count, dtype=torch.int64)
    return Detections(boxes, torch.linspace(0.9, 0.1, count), labels, masks=LEFT_HALF.expand(count, 8, 8))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_masks_are_pasted_at_the_size_of_the_original(count: int) -> None:
    prediction = as_prediction(detections(count), (50, 100), (100, 200), "a.jpg")
    assert prediction.masks is not None
    assert len(prediction.masks) == count
    expected = np.zeros((100, 200), bool)
    expected[20:60, 40:80] = True
    for mask in prediction.masks:
        bitmap = decode(mask, (100, 200))
        assert not (bitmap & ~expected).any()
        assert bitmap.sum() > 0.97 * expected.sum()  # the corners of the box are rounded


def test_masks_of_boxes_across_the_border_are_those_of_paste_masks() -> None:
    boxes = torch.tensor(
        [[-9.5, -3.2, 30.4, 20.1], [80.0, 40.0, 130.0, 70.0], [-20.0, 0.0, -5.0, 9.0], [9.0, 9.0, 9.0, 9.0]]
    )
    masks = torch.rand(4, 28, 28, generator=torch.Generator().manual_seed(0))
    labels = torch.ones(4, dtype=torch.int64)
    prediction = as_prediction(Detections(boxes, torch.rand(4), labels, masks=masks), (50, 100), (50, 100), "a.jpg")
    pasted = paste_masks(masks, boxes.double(), (50, 100)).numpy()
    assert [bool(mask.any()) for mask in pasted] == [True, True, False, False]
    assert prediction.masks == tuple(encode(mask) for mask in pasted)


def test_a_detector_without_masks_gives_none() -> None:
    no_masks = Detections(torch.zeros(1, 4), torch.ones(1), torch.ones(1, dtype=torch.int64))
    assert as_prediction(no_masks, (50, 100), (100, 200), "a.jpg").masks is None


def test_masks_of_a_pass_over_a_data_set_and_of_its_journal(tmp_path: Path) -> None:
    flags, none = np.zeros(0, bool), np.zeros(0, np.int64)
    images = [
        ImageAnnotation(
            str(write_image(tmp_path / f"{i}.png", (100, 200), i)),
            i,
            (100, 200),
            np.zeros((0, 4)),
            none,
            flags,
            flags,
            np.zeros(0),
        )
        for i in range(3)
    ]
    annotations = Annotations.from_images(images, ["cat"])

    def step(batch: Images, _: tuple[Targets, ...]) -> BatchOutput:
        return [detections(2) for _ in range(len(batch))], {}

    batches = evaluation_loader(annotations, Preprocess(min_size=50, max_size=100), 2, 0)
    predictions = run_on_dataset(step, batches, annotations, ComputeConfig(torch.device("cpu"))).predictions
    assert [len(prediction.masks or ()) for prediction in predictions] == [2, 2, 2]
    assert predictions[2].masks == as_prediction(detections(2), (50, 100), (100, 200), "a.jpg").masks
    journal = PredictionJournal(tmp_path / "journal", 7, ["cat"], "fp32")
    journal.add(BatchResult((0, 1, 2), tuple(predictions), ()))
    (result,) = PredictionJournal(tmp_path / "journal", 7, ["cat"], "fp32").batches
    assert [prediction.masks for prediction in result.predictions] == [prediction.masks for prediction in predictions]
