"""The ranks are compared with loops over the definition."""

from __future__ import annotations

import numpy as np
import pytest

from detect.describe.retrieval import (
    RetrievalScores,
    rank_photos_for_sentences,
    rank_sentences_for_photos,
    retrieval_scores,
)


def slow_photo_rank(scores: np.ndarray, sentence: int, photo: int) -> int:
    rank = 1
    for other in range(len(scores)):
        if other != photo and scores[other, sentence] >= scores[photo, sentence]:
            rank += 1
    return rank


def slow_sentence_rank(scores: np.ndarray, photo: int, photo_of_sentence: np.ndarray) -> int:
    best = max(scores[photo, j] for j, owner in enumerate(photo_of_sentence) if owner == photo)
    rank = 1
    for sentence, owner in enumerate(photo_of_sentence):
        if owner != photo and scores[photo, sentence] >= best:
            rank += 1
    return rank


@pytest.mark.parametrize("seed", range(4))
def test_ranks_are_those_of_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    photo_of_sentence = np.array([0, 0, 1, 2, 2, 2, 4])  # photo 3 has no sentence
    scores = rng.integers(0, 4, (5, 7)).astype(np.float32)  # with equal ones
    expected = [slow_photo_rank(scores, j, int(owner)) for j, owner in enumerate(photo_of_sentence)]
    assert rank_photos_for_sentences(scores, photo_of_sentence).tolist() == expected
    expected = [slow_sentence_rank(scores, photo, photo_of_sentence) for photo in (0, 1, 2, 4)]
    assert rank_sentences_for_photos(scores, photo_of_sentence).tolist() == expected


@pytest.mark.parametrize("score", [0.0, np.nan])
def test_scores_that_are_all_equal_or_no_numbers_put_the_right_answer_last(score: float) -> None:
    photo_of_sentence = np.array([0, 1, 2])
    assert rank_photos_for_sentences(np.full((3, 3), score), photo_of_sentence).tolist() == [3, 3, 3]
    assert rank_sentences_for_photos(np.full((3, 3), score), photo_of_sentence).tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        ([], (None, None, None, None, 0)),
        ([1], (1, 1, 1, 1, 1)),
        ([1, 5, 6, 11], (0.25, 0.5, 0.75, 5.5, 4)),
    ],
)
def test_retrieval_scores(ranks: list[int], expected: tuple[float | None, ...]) -> None:
    scores = retrieval_scores(np.array(ranks, np.int64))
    assert isinstance(scores, RetrievalScores)
    assert tuple(vars(scores).values()) == expected


def test_no_sentence_has_no_rank() -> None:
    assert rank_photos_for_sentences(np.zeros((3, 0)), np.zeros(0, np.int64)).tolist() == []
    assert rank_sentences_for_photos(np.zeros((3, 0)), np.zeros(0, np.int64)).tolist() == []
