"""Pointing accuracy: whether the region of a word is on the object that the word means.

A region is right if its IoU with a box of the mention is 0.5 or more. The paper could not score this, for want of boxes
of words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from detect.describe.captions import Mention
from detect.ops.boxes import iou

MIN_IOU = 0.5


@dataclass(frozen=True)
class MentionRegions:
    """What a model says about a mention, beside what would be right.

    word_regions (W,) int: the region of each word; mention_region: the region with the largest sum of the scores of all
    its words; is_right (R,) bool: which regions of the photo are on the object; largest: the region with the largest
    box that is not the whole photo, or the whole photo where there is no other.
    """

    word_regions: np.ndarray
    mention_region: int
    is_right: np.ndarray
    largest: int


@dataclass(frozen=True)
class PointingScores:
    """Fractions of right regions, None where there is no mention.

    words: of the words of all mentions, one by one; mentions: with the region of all words of a mention together;
    random: expected for a region at random that is not the whole photo; largest: for the largest box; reachable: of
    mentions for which any region is right, the most that a model can reach; num_words and num_mentions: how many.
    """

    words: float | None
    mentions: float | None
    random: float | None
    largest: float | None
    reachable: float | None
    num_words: int
    num_mentions: int


def point(mention: Mention, word_scores: np.ndarray, word_regions: np.ndarray, boxes: np.ndarray) -> MentionRegions:
    """Return the regions of a mention.

    word_scores (T, R) of all words of the sentence, word_regions (T,) their regions, boxes (R, 4) of the regions, the
    whole photo last.
    """
    words = list(mention.words)
    overlaps = iou(torch.from_numpy(boxes), torch.from_numpy(mention.boxes)).numpy()
    sides = boxes[:, 2:] - boxes[:, :2]
    areas = sides[:, 0] * sides[:, 1]
    return MentionRegions(
        word_regions=word_regions[words],
        mention_region=int(word_scores[words].sum(axis=0).argmax()),
        is_right=overlaps.max(axis=1) >= MIN_IOU,
        largest=int(areas[:-1].argmax()) if len(boxes) > 1 else 0,
    )


def pointing_scores(mentions: Sequence[MentionRegions]) -> PointingScores:
    """Return the scores of all mentions of a data set."""
    if not mentions:
        return PointingScores(
            words=None, mentions=None, random=None, largest=None, reachable=None, num_words=0, num_mentions=0
        )
    words = np.concatenate([mention.is_right[mention.word_regions] for mention in mentions])
    return PointingScores(
        words=float(words.mean()),
        mentions=_mean(mention.is_right[mention.mention_region] for mention in mentions),
        random=_mean(float(mention.is_right[:-1].mean()) if len(mention.is_right) > 1 else 0.0 for mention in mentions),
        largest=_mean(mention.is_right[mention.largest] for mention in mentions),
        reachable=_mean(bool(mention.is_right.any()) for mention in mentions),
        num_words=len(words),
        num_mentions=len(mentions),
    )


def _mean(fractions: Iterable[float]) -> float:
    return float(np.mean([float(fraction) for fraction in fractions]))
