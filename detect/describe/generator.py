"""The recurrent network that writes a sentence about a photo or a region.

Karpathy and Fei-Fei 2015 (https://arxiv.org/abs/1412.2306), section 3.2:

    b_v = W_hi CNN(I)
    h_t = ReLU(W_hx x_t + W_hh h_{t-1} + b_h + [t = 1] b_v)
    y_t = softmax(W_oh h_t + b_o)

x_1 is the vector of START, y_1 the probabilities of the first word; after the last word comes END. The photo is seen at
the first step alone (at each step it was worse, they write).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from detect.describe.region_encoder import FeatureScale
from detect.describe.tokens import START_INDEX, UNKNOWN_INDEX


class SentenceGenerator(nn.Module):
    """Predicts the next word of a sentence about features (F,).

    num_words: V, the size of the vocabulary; length: F; dim: length of its word vectors; hidden: H; dropout: on the
    word vectors and on the states that the output layer reads, not in the recurrence.
    """

    def __init__(self, num_words: int, length: int, *, dim: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.scale = FeatureScale(length)
        self.image = nn.Linear(length, hidden, bias=False)  # W_hi
        self.word_vectors = nn.Embedding(num_words, dim)
        self.input = nn.Linear(dim, hidden, bias=False)  # W_hx
        self.recurrence = nn.Linear(hidden, hidden)  # W_hh, b_h
        self.output = nn.Linear(hidden, num_words)  # W_oh, b_o
        self.dropout = nn.Dropout(dropout)

    def first_state(self, features: Tensor) -> Tensor:
        """Return the states (N, H) after START, of features (N, F)."""
        start = torch.full((len(features),), START_INDEX, device=features.device)
        state = self.image(self.scale(features)).new_zeros(len(features), self.recurrence.in_features)
        return self._step(start, state, self.image(self.scale(features)))

    def next_state(self, words: Tensor, state: Tensor) -> Tensor:
        """Return the states (N, H) after words (N,) int64, of the states (N, H) before them."""
        return self._step(words, state, None)

    def logits(self, state: Tensor) -> Tensor:
        """Return the logits (..., V) of the word that follows the states (..., H)."""
        logits: Tensor = self.output(self.dropout(state))
        return logits

    def forward(self, features: Tensor, words: Tensor) -> Tensor:
        """Return the logits (N, T + 1, V) of each word of sentences (N, T) int64, and of the word after the last."""
        states = [self.first_state(features)]
        for t in range(words.shape[1]):
            states.append(self.next_state(words[:, t], states[-1]))
        return self.logits(torch.stack(states, dim=1))

    def _step(self, words: Tensor, state: Tensor, image: Tensor | None) -> Tensor:
        inputs = self.input(self.dropout(self.word_vectors(words))) + self.recurrence(state)
        return torch.relu(inputs if image is None else inputs + image)


def sentence_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy () of the words that follow, of logits (N, T + 1, V) and targets (N, T + 1) int64.

    Targets below 0 only fill up. Unknown words are no targets either, so that the generator never learns to write them;
    it does read them. Without any target the loss is 0.
    """
    counts = (targets >= 0) & (targets != UNKNOWN_INDEX)
    losses = cross_entropy(logits[counts], targets[counts], reduction="sum")
    return losses / counts.sum().clamp(min=1)
