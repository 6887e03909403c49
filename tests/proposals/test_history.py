"""The history of the boxes of a search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detect.proposals import selective_search
from detect.proposals.selective_search.history import BoxHistory, box_histories
from detect.proposals.selective_search.settings import SearchSettings
from tests.proposals.test_selective_search import random_rgb

pytestmark = pytest.mark.slow  # numba compiles for half a minute on a new machine


def histories_of(
    image: np.ndarray[Any, Any], ranks: list[int], mode: str = "fast", resize_to: int | None = None
) -> list[BoxHistory]:
    return box_histories(image, SearchSettings(mode, 3, min_side=0, resize_to=resize_to), 2, ranks)


def test_box_histories_without_ranks_is_empty() -> None:
    assert histories_of(random_rgb(40, 50), []) == []


@pytest.mark.parametrize("mode", ["single", "fast", "quality"])
def test_box_histories_segments_fill_the_box_of_their_rank(mode: str) -> None:
    image = random_rgb(60, 80)
    boxes = selective_search(image, mode, 3, min_side=0).boxes.int().tolist()
    ranks = list(range(len(boxes)))
    histories = histories_of(image, ranks, mode)
    assert [history.rank for history in histories] == ranks
    for history, box in zip(histories, boxes, strict=True):
        rows, columns = np.isin(history.segmentation.labels, history.segments).nonzero()
        assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == box
        assert len(history.merges) == len(history.segments) - 1
        regions = set(history.segments)
        for merge in history.merges:
            regions -= set(merge.children)
            regions.add(merge.region)
        assert regions == {history.region}
        if history.merges:
            assert list(history.merges[-1].box) == box
            assert history.strategy.similarity is not None


def test_box_histories_of_a_resized_search_are_in_pixels_of_the_resized_image() -> None:
    (history,) = histories_of(random_rgb(60, 80), [0], resize_to=40)
    assert history.segmentation.labels.shape == (30, 40)
