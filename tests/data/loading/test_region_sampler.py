"""Regions drawn over all images: each step's share, none twice, a pure function of seed and step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.annotations import Annotations, ImageAnnotation, pack
from detect.data.loading.region_sampler import RegionPlan, RegionPool, region_pool
from detect.ops.matching import Matcher

POOL = RegionPool(
    np.array([(image, row) for image in range(5) for row in range(3)], np.int32),
    np.array([(image, row) for image in range(5) for row in range(3, 20)], np.int32),
)
NOTHING = np.zeros((0, 2), np.int32)


def plan(pool: RegionPool = POOL, number: int = 8, share: float = 0.25, steps: int = 30, start: int = 0) -> RegionPlan:
    return RegionPlan(pool, number, share, 3, (32, 48), steps, start)


def drawn(plan: RegionPlan, step: int) -> list[tuple[int, int]]:
    return [(pick.image, row) for pick in plan.batch(step) for row in pick.rows]


@pytest.mark.parametrize(
    ("pool", "foreground", "background"),
    [
        (RegionPool(NOTHING, NOTHING), 0, 0),
        (RegionPool(POOL.foreground, NOTHING), 2, 0),
        (RegionPool(NOTHING, POOL.background), 0, 8),
        (RegionPool(POOL.foreground[:1], POOL.background), 1, 7),
        (POOL, 2, 6),
    ],
    ids=["nothing", "no background", "no foreground", "little foreground", "plenty"],
)
def test_background_fills_what_foreground_leaves(pool: RegionPool, foreground: int, background: int) -> None:
    found = drawn(plan(pool), 0)
    assert len(set(found)) == len(found)
    assert sum(row < 3 for _, row in found) == foreground
    assert sum(row >= 3 for _, row in found) == background


@given(st.integers(0, 40), st.floats(0, 1), st.integers(0, 29))
@settings(max_examples=50, deadline=None)
def test_any_step(number: int, share: float, step: int) -> None:
    one = plan(number=number, share=share)
    picks = one.batch(step)
    assert [pick.image for pick in picks] == sorted({pick.image for pick in picks})
    assert len({pick.min_size for pick in picks}) <= 1
    assert {pick.epoch for pick in picks} <= {step}
    found = drawn(one, step)
    assert len(set(found)) == len(found) == number
    assert picks == plan(number=number, share=share, start=step).batch(step)


def test_every_region_has_its_turn() -> None:
    seen = {region for step in range(200) for region in drawn(plan(steps=200), step)}
    assert seen == {(int(image), int(row)) for image, row in np.concatenate([POOL.foreground, POOL.background])}


@pytest.mark.parametrize("start", [0, 1, 17, 30, 40])
def test_it_goes_on_at_any_step(start: int) -> None:
    assert list(plan(start=start)) == list(plan())[start:]
    assert len(plan(start=start)) == max(0, 30 - start)


def images_with(*image_files: list[tuple[int, int, int, int]]) -> Annotations:
    """Images of 100 x 100 pixels with these objects; the last object of the third is a crowd."""
    images = []
    for number, objects in enumerate(image_files):
        flags = np.zeros(len(objects), bool)
        crowd = flags.copy()
        crowd[2:] = True
        boxes = np.array(objects, float).reshape(-1, 4)
        labels = np.ones(len(objects), np.int64)
        images.append(
            ImageAnnotation(f"{number}.jpg", number + 1, (100, 100), boxes, labels, flags, crowd, np.ones(len(objects)))
        )
    return pack(images, ["cat"])


def test_the_pool_has_each_region_once_in_its_role() -> None:
    data = images_with([(0, 0, 10, 10)], [], [(0, 0, 10, 10), (50, 50, 60, 60), (70, 70, 99, 99)])
    boxes = np.array([[0, 0, 10, 9], [0, 0, 10, 4], [80, 80, 90, 90], [0, 0, 10, 10]], float)
    given_boxes = {data.file(0): (boxes, np.ones(4)), data.file(2): (boxes, np.ones(4))}  # image 1 is unreadable
    pool = region_pool(data, given_boxes, Matcher(0.5, (0.1, 0.5)), 3)
    # of each image the first box is foreground, the second background, the third nothing: it lies under 0.1, or in the
    # crowd; the fourth is one too many. A crowd's own box is nothing either.
    assert pool.foreground.tolist() == [[0, 0], [0, 1], [2, 0], [2, 1], [2, 3]]
    assert pool.background.tolist() == [[0, 2], [2, 4]]
