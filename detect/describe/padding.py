"""Sentences and photos of different lengths as tensors with rows that only fill up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def pad_words(sentences: Sequence[Sequence[int]], fill: int = 0) -> tuple[Tensor, Tensor]:
    """Return words (L, T) int64 and is_word (L, T) bool, of sentences of up to T words."""
    rows = [torch.tensor(sentence, dtype=torch.int64) for sentence in sentences]
    return pad_sequence(rows, batch_first=True, padding_value=fill), _is_filled(rows)


def pad_regions(photos: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return features (K, R, F) and is_region (K, R) bool, of photos with features (R_k, F) of up to R regions."""
    return pad_sequence(list(photos), batch_first=True), _is_filled(photos)


def _is_filled(rows: Sequence[Tensor]) -> Tensor:
    lengths = torch.tensor([len(row) for row in rows])
    return torch.arange(int(lengths.max()))[None] < lengths[:, None]
