"""The most probable sentence of a generator, by beam search."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detect.describe.generator import SentenceGenerator
from detect.describe.tokens import END_INDEX, START_INDEX, UNKNOWN_INDEX


@dataclass(frozen=True)
class ScoredSentence:
    """The words (indices of the vocabulary, without START and END) and their log-probability, that of END included."""

    words: tuple[int, ...]
    log_probability: float


@torch.no_grad()
def beam_search(generator: SentenceGenerator, features: Tensor, beam: int, max_words: int) -> ScoredSentence:
    """Return the most probable sentence about features (F,) that the search meets.

    beam: unfinished sentences kept at each step; 1 always takes the most probable word, and as many as there are
    sentences searches them all. max_words: after so many words END is the only one that may follow. START and the
    unknown word are never written. The log-probability is natural and not divided by the length.
    """
    unfinished = [ScoredSentence(words=(), log_probability=0.0)]
    state = generator.first_state(features[None])
    finished: list[ScoredSentence] = []
    while unfinished:
        sums = torch.tensor([sentence.log_probability for sentence in unfinished], dtype=torch.float64)
        log_probabilities = sums[:, None] + _log_probabilities(generator, state).cpu()
        if len(unfinished[0].words) == max_words:
            rows, words = list(range(len(unfinished))), [END_INDEX] * len(unfinished)
        else:
            ranked = log_probabilities.flatten().sort(descending=True, stable=True)
            count = min(beam, int(ranked.values.isfinite().sum()))
            rows, words = (part.tolist() for part in _rows_and_words(ranked.indices[:count], log_probabilities))
        longer: list[ScoredSentence] = []
        parents: list[int] = []
        for row, word in zip(rows, words, strict=True):
            log_probability = float(log_probabilities[row, word])
            before = unfinished[row].words
            if word == END_INDEX:
                finished.append(ScoredSentence(words=before, log_probability=log_probability))
            else:
                longer.append(ScoredSentence(words=(*before, word), log_probability=log_probability))
                parents.append(row)
        unfinished = longer
        best = max((sentence.log_probability for sentence in finished), default=-torch.inf)
        if not unfinished or best >= unfinished[0].log_probability:  # another word never makes it more probable
            break
        last = torch.tensor([sentence.words[-1] for sentence in unfinished], device=state.device)
        state = generator.next_state(last, state[parents])
    return max(finished, key=lambda sentence: sentence.log_probability)


def _log_probabilities(generator: SentenceGenerator, state: Tensor) -> Tensor:
    """Return the log-probabilities (N, V) float64 of the words that may follow the states (N, H)."""
    logits = generator.logits(state).double()
    logits[:, [UNKNOWN_INDEX, START_INDEX]] = -torch.inf
    return logits.log_softmax(dim=1)


def _rows_and_words(flat: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows and columns in ``table`` of indices into its flat form."""
    return flat // table.shape[1], flat % table.shape[1]
