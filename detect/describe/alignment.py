"""Scores of sentences with photos, and the loss that ranks the right pairs first.

Karpathy and Fei-Fei 2015 (https://arxiv.org/abs/1412.2306), section 3.1.3. Letters: L sentences of up to T words, K
photos of up to R regions, D numbers in a vector.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["max", "sum"]
ComparedRegions = Literal["regions", "detections", "photo"]


def compared_rows(num_rows: int, regions: ComparedRegions) -> slice:
    """Return which of the rows of a photo, the whole photo last, words are compared with.

    regions: all; detections: all but the whole photo, if there are others; photo: the whole photo alone.
    """
    if regions == "regions":
        return slice(0, num_rows)
    return slice(num_rows - 1, num_rows) if regions == "photo" or num_rows == 1 else slice(0, num_rows - 1)


def photo_scores(scores: Tensor, is_region: Tensor, reduction: Reduction) -> Tensor:
    """Return the scores (W, K) of words with photos, of their scores (W, K, R) with regions.

    is_region (K, R) bool: False for rows that only fill up; each photo has one region or more. max: the best region
    (equation 8); sum: the sum of the positive scores of all regions (equation 7).
    """
    if reduction == "sum":
        return (scores.clamp(min=0) * is_region).sum(dim=2)
    return scores.masked_fill(~is_region, -torch.inf).max(dim=2).values


def pair_scores(words: Tensor, is_word: Tensor, regions: Tensor, is_region: Tensor, reduction: Reduction) -> Tensor:
    """Return the scores S (K, L) of every photo with every sentence: the sum of the scores of its words.

    words (L, T, D) with is_word (L, T) bool, regions (K, R, D) with is_region (K, R) bool.
    """
    flat = words[is_word]  # (W, D): without the rows that only fill up
    scores = (flat @ regions.flatten(0, 1).T).view(len(flat), *regions.shape[:2])  # (W, K, R)
    sentence_of_word = is_word.nonzero()[:, 0]
    sums = flat.new_zeros(len(words), len(regions))
    return sums.index_add(0, sentence_of_word, photo_scores(scores, is_region, reduction)).T


def ranking_loss(scores: Tensor, margin: float = 1.0) -> Tensor:
    """Return the loss (), equation 9, of scores S (N, N), in which photo k belongs to sentence k.

    sum_k [sum_l max(0, S_kl - S_kk + margin) + sum_l max(0, S_lk - S_kk + margin)], over l other than k, divided by N,
    so that the learning rate does not depend on the size of the batch. The paper's sums include l = k, which adds a
    constant.
    """
    right = scores.diagonal()
    wrong_sentences = (scores - right[:, None] + margin).clamp(min=0)
    wrong_photos = (scores - right[None, :] + margin).clamp(min=0)
    others = ~torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    return ((wrong_sentences + wrong_photos) * others).sum() / max(1, len(scores))
