from __future__ import annotations

import numpy as np
import pytest

from detect.describe.captions import Mention
from detect.describe.pointing import point, pointing_scores

BOXES = np.array([[0, 0, 10, 10], [20, 0, 60, 40], [0, 0, 100, 100]], np.float32)  # the last is the whole photo


def slow_iou(a: np.ndarray, b: np.ndarray) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return float(width * height / union)


def test_no_mention_has_no_score() -> None:
    scores = pointing_scores([])
    assert (scores.words, scores.mentions, scores.random, scores.num_mentions) == (None, None, None, 0)


def test_regions_of_a_mention_are_right_where_their_iou_is_at_least_a_half() -> None:
    mention = Mention(words=(1, 2), boxes=np.array([[0, 0, 10, 20], [22, 0, 60, 40]], np.float32))
    word_scores = np.array([[0, 0, 9], [3, 1, 0], [0, 4, 1]], np.float32)
    answer = point(mention, word_scores, word_scores.argmax(axis=1), BOXES)
    assert answer.word_regions.tolist() == [0, 1]
    assert answer.mention_region == 1  # 3 + 0 against 1 + 4
    assert answer.is_right.tolist() == [max(slow_iou(box, other) for other in mention.boxes) >= 0.5 for box in BOXES]
    assert answer.is_right.tolist() == [True, True, False]  # the first has exactly a half
    assert answer.largest == 1


def test_pointing_scores_beside_their_controls() -> None:
    small = Mention(words=(0,), boxes=BOXES[:1])
    absent = Mention(words=(1,), boxes=np.array([[80, 80, 90, 90]], np.float32))
    word_scores = np.array([[5, 0, 1], [0, 3, 1]], np.float32)
    regions = word_scores.argmax(axis=1)
    scores = pointing_scores([point(mention, word_scores, regions, BOXES) for mention in (small, absent)])
    assert scores.words == 0.5
    assert scores.mentions == 0.5
    assert scores.random == pytest.approx((1 / 2 + 0) / 2)
    assert scores.largest == 0
    assert scores.reachable == 0.5
    assert (scores.num_words, scores.num_mentions) == (2, 2)


def test_a_photo_without_detections_points_at_itself() -> None:
    mention = Mention(words=(0,), boxes=np.array([[0, 0, 100, 90]], np.float32))
    answer = point(mention, np.ones((1, 1), np.float32), np.zeros(1, np.int64), BOXES[2:])
    scores = pointing_scores([answer])
    assert (scores.words, scores.mentions, scores.random, scores.largest) == (1, 1, 0, 1)
