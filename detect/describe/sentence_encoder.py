"""The network that turns the words of a sentence into vectors, each aware of its neighbors.

Karpathy and Fei-Fei 2015 (https://arxiv.org/abs/1412.2306), section 3.1.2:

    x_t   = W_w 1_t                             the vector of the word
    e_t   = ReLU(W_e x_t + b_e)
    h^f_t = ReLU(e_t + W_f h^f_{t-1} + b_f)     from the first word to the last
    h^b_t = ReLU(e_t + W_b h^b_{t+1} + b_b)     from the last word to the first
    s_t   = ReLU(W_d (h^f_t + h^b_t) + b_d)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SentenceEncoder(nn.Module):
    """Encodes sentences word by word.

    vectors (V, E): of the words of the vocabulary, to start from; learned: whether they are trained; hidden: units of
    the recurrence in each direction; dim: D, length of the outputs; recurrent: False for s_t = ReLU(W_d e_t + b_d), in
    which a word knows nothing of its neighbors; dropout: on x_t and on what W_d reads, not in the recurrence.
    """

    def __init__(
        self, vectors: Tensor, *, learned: bool, hidden: int, dim: int, recurrent: bool, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.word_vectors = nn.Embedding(len(vectors), vectors.shape[1], _weight=vectors.clone()).requires_grad_(
            learned
        )
        self.input = nn.Linear(vectors.shape[1], hidden)
        self.forward_step = nn.Linear(hidden, hidden) if recurrent else None
        self.backward_step = nn.Linear(hidden, hidden) if recurrent else None
        self.output = nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, words: Tensor, is_word: Tensor) -> Tensor:
        """Return the vectors (L, T, D) of words (L, T) int64; rows after the end of a sentence mean nothing.

        is_word (L, T) bool: False after the end of a sentence.
        """
        inputs = torch.relu(self.input(self.dropout(self.word_vectors(words))))  # (L, T, H)
        if self.forward_step is None or self.backward_step is None:
            states = inputs
        else:
            states = _recur(inputs, is_word, self.forward_step)
            states = states + _recur(inputs.flip(1), is_word.flip(1), self.backward_step).flip(1)
        return torch.relu(self.output(self.dropout(states)))


def _recur(inputs: Tensor, is_word: Tensor, step: nn.Linear) -> Tensor:
    """Return the states (L, T, H) of h_t = ReLU(e_t + W h_{t-1} + b) for inputs e (L, T, H).

    The state is 0 where there is no word, so that the backward direction starts at the last word of each sentence.
    """
    keep = is_word[..., None].to(inputs.dtype)
    state = inputs.new_zeros(inputs.shape[0], inputs.shape[2])
    states = []
    for t in range(inputs.shape[1]):
        state = torch.relu(inputs[:, t] + step(state)) * keep[:, t]
        states.append(state)
    return torch.stack(states, dim=1) if states else inputs
