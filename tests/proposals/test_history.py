"""How a box of a search came to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detect.proposals import selective_search
from detect.proposals.selective_search.history import Story, stories
from tests.proposals.test_selective_search import picture

pytestmark = pytest.mark.slow  # numba compiles for half a minute on a new machine


def told(
    image: np.ndarray[Any, Any], ranks: list[int], mode: str = "fast", resize_to: int | None = None
) -> list[Story]:
    return stories(image, mode, 3, 2, 0, resize_to, ranks)


def test_no_rank_has_no_story() -> None:
    assert told(picture(40, 50), []) == []


@pytest.mark.parametrize("mode", ["single", "fast", "quality"])
def test_the_segments_of_a_story_fill_the_box_of_its_rank(mode: str) -> None:
    image = picture(60, 80)
    boxes = selective_search(image, mode, 3, min_side=0).boxes.int().tolist()
    ranks = list(range(len(boxes)))
    found = told(image, ranks, mode)
    assert [story.rank for story in found] == ranks
    for story, box in zip(found, boxes, strict=True):
        rows, columns = np.isin(story.segmentation.labels, story.segments).nonzero()
        assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == box
        assert len(story.joins) == len(story.segments) - 1
        regions = set(story.segments)
        for join in story.joins:
            regions -= set(join.parts)
            regions.add(join.made)
        assert regions == {story.region}
        if story.joins:
            assert list(story.joins[-1].box) == box
            assert story.strategy.similarity is not None


def test_a_resized_search_is_told_in_its_own_pixels() -> None:
    (story,) = told(picture(60, 80), [0], resize_to=40)
    assert story.segmentation.labels.shape == (30, 40)
