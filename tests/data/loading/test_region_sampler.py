"""Regions sampled over all images: the parts of each step, none twice, a pure function of seed and step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.loading.region_sampler import RegionBatchSampler, RegionIndex, index_regions
from detect.ops.matching import Matcher

REGIONS = RegionIndex(
    np.array([(image, row) for image in range(5) for row in range(3)], np.int32),
    np.array([(image, row) for image in range(5) for row in range(3, 20)], np.int32),
)
NO_REGIONS = np.zeros((0, 2), np.int32)


def make_sampler(
    regions: RegionIndex = REGIONS,
    batch_size: int = 8,
    positive_fraction: float = 0.25,
    steps: int = 30,
    start: int = 0,
) -> RegionBatchSampler:
    return RegionBatchSampler(regions, batch_size, positive_fraction, 3, (32, 48), steps, start)


def sampled_regions(sampler: RegionBatchSampler, step: int) -> list[tuple[int, int]]:
    return [(key.image, row) for key in sampler.batch(step) for row in key.rows]


@pytest.mark.parametrize(
    ("regions", "foreground", "background"),
    [
        (RegionIndex(NO_REGIONS, NO_REGIONS), 0, 0),
        (RegionIndex(REGIONS.foreground, NO_REGIONS), 2, 0),
        (RegionIndex(NO_REGIONS, REGIONS.background), 0, 8),
        (RegionIndex(REGIONS.foreground[:1], REGIONS.background), 1, 7),
        (REGIONS, 2, 6),
    ],
    ids=["nothing", "no background", "no foreground", "little foreground", "plenty"],
)
def test_region_sampler_fills_the_batch_with_background(regions: RegionIndex, foreground: int, background: int) -> None:
    sampled = sampled_regions(make_sampler(regions), 0)
    assert len(set(sampled)) == len(sampled)
    assert sum(row < 3 for _, row in sampled) == foreground
    assert sum(row >= 3 for _, row in sampled) == background


@given(st.integers(0, 40), st.floats(0, 1), st.integers(0, 29))
@settings(max_examples=50, deadline=None)
def test_region_sampler_batch_of_any_step(batch_size: int, positive_fraction: float, step: int) -> None:
    sampler = make_sampler(batch_size=batch_size, positive_fraction=positive_fraction)
    keys = sampler.batch(step)
    assert [key.image for key in keys] == sorted({key.image for key in keys})
    assert len({key.min_size for key in keys}) <= 1
    assert {key.epoch for key in keys} <= {step}
    sampled = sampled_regions(sampler, step)
    assert len(set(sampled)) == len(sampled) == batch_size
    assert keys == make_sampler(batch_size=batch_size, positive_fraction=positive_fraction, start=step).batch(step)


def test_region_sampler_reaches_every_region() -> None:
    sampled = {region for step in range(200) for region in sampled_regions(make_sampler(steps=200), step)}
    assert sampled == {
        (int(image), int(row)) for image, row in np.concatenate([REGIONS.foreground, REGIONS.background])
    }


@pytest.mark.parametrize("start", [0, 1, 17, 30, 40])
def test_region_sampler_resumes_at_any_step(start: int) -> None:
    assert list(make_sampler(start=start)) == list(make_sampler())[start:]
    assert len(make_sampler(start=start)) == max(0, 30 - start)


def make_annotations(*objects_per_image: list[tuple[int, int, int, int]]) -> Annotations:
    """Return images of 100 x 100 pixels with these objects; the last object of the third is a crowd."""
    images = []
    for batch_size, objects in enumerate(objects_per_image):
        flags = np.zeros(len(objects), bool)
        crowd = flags.copy()
        crowd[2:] = True
        boxes = np.array(objects, float).reshape(-1, 4)
        labels = np.ones(len(objects), np.int64)
        images.append(
            ImageAnnotation(
                f"{batch_size}.jpg", batch_size + 1, (100, 100), boxes, labels, flags, crowd, np.ones(len(objects))
            )
        )
    return Annotations.from_images(images, ["cat"])


def test_index_regions_labels_each_region_once() -> None:
    data = make_annotations([(0, 0, 10, 10)], [], [(0, 0, 10, 10), (50, 50, 60, 60), (70, 70, 99, 99)])
    boxes = np.array([[0, 0, 10, 9], [0, 0, 10, 4], [80, 80, 90, 90], [0, 0, 10, 10]], float)
    proposals = {data.file(0): (boxes, np.ones(4)), data.file(2): (boxes, np.ones(4))}  # image 1 is unreadable
    regions = index_regions(data, proposals, Matcher(0.5, (0.1, 0.5)), 3)
    # The first box of each image is foreground, the second background, the third is ignored: its IoU is under 0.1, or
    # it lies in the crowd. The fourth exceeds num_proposals. The box of a crowd is ignored too.
    assert regions.foreground.tolist() == [[0, 0], [0, 1], [2, 0], [2, 1], [2, 3]]
    assert regions.background.tolist() == [[0, 2], [2, 4]]
