"""A pass over a data set says of which images the labels state another size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.loading.collate import Batch
from detect.inference.dataset_pass import BatchOutput, describe_other_sizes, run_on_dataset
from detect.system.device import ComputeConfig
from detect.types import Detections, Images, Targets


def make_batch(other_sizes: tuple[str, ...]) -> Batch:
    """A batch of one image of 2 x 2 pixels without objects."""
    none = torch.zeros(0)
    target = Targets(boxes=torch.zeros(0, 4), labels=none.long(), difficult=none.bool(), crowd=none.bool())
    return Batch(
        images=Images(pixels=torch.zeros(1, 3, 2, 2), sizes=((2, 2),), seeds=(0,)),
        targets=(target,),
        original_sizes=((2, 2),),
        image_ids=(1,),
        files=("a.jpg",),
        indices=(0,),
        unreadable=(),
        other_sizes=other_sizes,
    )


def detect_nothing(images: Images, _: tuple[Targets, ...]) -> BatchOutput:
    return [Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long())] * len(images), {}


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([], ""),
        (["a: 1", "a: 1"], "1 image of another size than labelled: a: 1"),
        (["b: 2", "a: 1"], "2 images of another size than labelled: b: 2"),
    ],
)
def test_images_of_another_size_are_counted_and_the_first_is_named(lines: list[str], text: str) -> None:
    assert describe_other_sizes(lines) == text


@pytest.mark.parametrize("lines", [(), ("a.jpg: 2 x 2, and 2 x 3 in its labels",)])
def test_a_pass_keeps_the_lines_on_other_sizes(lines: tuple[str, ...]) -> None:
    none = np.zeros(0, bool)
    image = ImageAnnotation(
        file="a.jpg",
        image_id=1,
        size=(2, 2),
        boxes=np.zeros((0, 4)),
        labels=np.zeros(0, np.int64),
        difficult=none,
        crowd=none,
        areas=np.zeros(0),
    )
    annotations = Annotations.from_images([image], ["cat"])
    passed = run_on_dataset(detect_nothing, [make_batch(lines)], annotations, ComputeConfig(torch.device("cpu")))
    assert passed.other_sizes == lines
    assert [prediction.file for prediction in passed.predictions] == ["a.jpg"]
