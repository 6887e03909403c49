"""Scores of the search for photos by sentences and for sentences by photos (Hodosh, Young and Hockenmaier 2013)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_CUTOFFS = (1, 5, 10)


@dataclass(frozen=True)
class RetrievalScores:
    """Ranks in one direction: recall_1, recall_5 and recall_10 are the fractions of queries whose right answer is among
    the first 1, 5 and 10; median_rank counts from 1. queries: their number; all scores are None where it is 0.
    """

    recall_1: float | None
    recall_5: float | None
    recall_10: float | None
    median_rank: float | None
    queries: int


def rank_sentences_for_photos(scores: np.ndarray, photo_of_sentence: np.ndarray) -> np.ndarray:
    """Return for each photo with a sentence the rank, from 1, of the best of its sentences among all sentences.

    scores (K, L) of K photos with L sentences; photo_of_sentence (L,) int. Of equal scores, and of those that are not
    numbers, those of other photos come first, so that a model that scores all the same is not right by chance.
    """
    ranks = []
    for photo in np.unique(photo_of_sentence):
        is_right = photo_of_sentence == photo
        ranks.append(1 + np.count_nonzero(~(scores[photo, ~is_right] < scores[photo, is_right].max())))
    return np.array(ranks, np.int64)


def rank_photos_for_sentences(scores: np.ndarray, photo_of_sentence: np.ndarray) -> np.ndarray:
    """Return the rank (L,), from 1, of the photo of each sentence among all photos.

    Arguments as for ``rank_sentences_for_photos``; here too, of equal scores those of other photos come first.
    """
    if not len(photo_of_sentence):
        return np.zeros(0, np.int64)
    right = scores[photo_of_sentence, np.arange(len(photo_of_sentence))]
    return np.asarray((~(scores < right)).sum(axis=0), np.int64)


def retrieval_scores(ranks: np.ndarray) -> RetrievalScores:
    """Return the scores of ranks (Q,), which count from 1."""
    if not len(ranks):
        return RetrievalScores(recall_1=None, recall_5=None, recall_10=None, median_rank=None, queries=0)
    first, five, ten = (float((ranks <= cutoff).mean()) for cutoff in _CUTOFFS)
    return RetrievalScores(
        recall_1=first, recall_5=five, recall_10=ten, median_rank=float(np.median(ranks)), queries=len(ranks)
    )
