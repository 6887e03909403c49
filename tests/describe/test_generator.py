from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from detect.describe.beam_search import beam_search
from detect.describe.generator import SentenceGenerator, sentence_loss
from detect.describe.tokens import END_INDEX, START_INDEX, UNKNOWN_INDEX

NUM_WORDS = 6  # three special ones and 3, 4, 5


def generator(seed: int = 0, gain: float = 1.0) -> SentenceGenerator:
    torch.manual_seed(seed)
    made = SentenceGenerator(NUM_WORDS, 3, dim=4, hidden=5).double().eval()
    made.scale.fit(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 9.0]]))
    with torch.no_grad():
        made.output.weight *= gain
    return made


def product(weight: Tensor, vector: list[float]) -> list[float]:
    return [sum(float(w) * x for w, x in zip(row, vector, strict=True)) for row in weight]


def logits_by_loops(network: SentenceGenerator, features: list[float], words: list[int]) -> list[list[float]]:
    """The paper's formulas, number by number."""
    mean, std = network.scale.mean.tolist(), network.scale.std.tolist()
    image = product(network.image.weight, [(x - m) / s for x, m, s in zip(features, mean, std, strict=True)])
    state, outputs = [0.0] * 5, []
    for t, word in enumerate([START_INDEX, *words]):
        inputs = product(network.input.weight, network.word_vectors.weight[word].tolist())
        recurrence = product(network.recurrence.weight, state)
        bias = network.recurrence.bias.tolist()
        state = [
            max(0.0, i + r + b + (v if t == 0 else 0.0))
            for i, r, b, v in zip(inputs, recurrence, bias, image, strict=True)
        ]
        scores = product(network.output.weight, state)
        outputs.append([score + float(b) for score, b in zip(scores, network.output.bias, strict=True)])
    return outputs


@pytest.mark.parametrize("words", [[], [3], [4, 5, 3, 3]])
@torch.no_grad()
def test_generator_equals_the_formulas_in_loops(words: list[int]) -> None:
    network, features = generator(), [0.5, -1.0, 4.0]
    logits = network(torch.tensor([features]).double(), torch.tensor([words], dtype=torch.int64))
    assert logits.shape == (1, len(words) + 1, NUM_WORDS)
    for row, expected in zip(logits[0], logits_by_loops(network, features, words), strict=True):
        assert row.tolist() == pytest.approx(expected)


def test_gradients_of_the_generator_equal_finite_differences() -> None:
    network = generator()
    parameters = dict(network.named_parameters())
    features, words = torch.randn(2, 3).double(), torch.tensor([[3, 4], [5, 0]])
    targets = torch.tensor([[3, 4, END_INDEX], [5, END_INDEX, -1]])

    def loss(*weights: Tensor) -> Tensor:
        outputs = torch.func.functional_call(network, dict(zip(parameters, weights, strict=True)), (features, words))
        return sentence_loss(outputs, targets)

    assert torch.autograd.gradcheck(loss, tuple(parameters.values()))


@pytest.mark.parametrize(
    "targets",
    [[[-1, -1], [-1, -1]], [[UNKNOWN_INDEX, -1], [-1, -1]], [[3, END_INDEX], [END_INDEX, -1]], [[0, 4], [5, -1]]],
)
def test_sentence_loss_is_the_mean_over_known_words(targets: list[list[int]]) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 2, NUM_WORDS).double()
    losses = [
        math.log(sum(math.exp(score) for score in row)) - row[target]
        for rows, of_sentence in zip(logits.tolist(), targets, strict=True)
        for row, target in zip(rows, of_sentence, strict=True)
        if target > 0
    ]
    expected = sum(losses) / len(losses) if losses else 0.0
    assert float(sentence_loss(logits, torch.tensor(targets))) == pytest.approx(expected)


def log_probability(network: SentenceGenerator, features: Tensor, words: tuple[int, ...], max_words: int) -> float:
    """That of a sentence with END, where START and unknown words have none, and END is free of choice at the end."""
    logits = network(features[None], torch.tensor([words], dtype=torch.int64))[0]
    logits[:, [UNKNOWN_INDEX, START_INDEX]] = -torch.inf
    table = logits.log_softmax(dim=1)
    assert len(words) <= max_words
    return sum(float(table[t, word]) for t, word in enumerate((*words, END_INDEX)))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("max_words", [0, 1, 3])
@torch.no_grad()
def test_beam_search_with_room_for_all_equals_the_search_over_all_sentences(seed: int, max_words: int) -> None:
    network, features = generator(seed, gain=4.0), torch.randn(3).double()
    network.output.bias[END_INDEX] -= 2  # else the empty sentence wins
    every = [words for count in range(max_words + 1) for words in itertools.product([3, 4, 5], repeat=count)]
    scores = {words: log_probability(network, features, words, max_words) for words in every}
    best = beam_search(network, features, beam=len(every), max_words=max_words)
    assert best.log_probability == pytest.approx(max(scores.values()))
    assert best.words == max(scores, key=lambda words: scores[words])


@torch.no_grad()
def test_beam_of_1_always_takes_the_best_word() -> None:
    network, features = generator(3, gain=4.0), torch.randn(3).double()
    words: list[int] = []
    while len(words) < 8:
        logits = network(features[None], torch.tensor([words], dtype=torch.int64))[0, -1]
        logits[[UNKNOWN_INDEX, START_INDEX]] = -torch.inf
        if int(logits.argmax()) == END_INDEX:
            break
        words.append(int(logits.argmax()))
    assert beam_search(network, features, beam=1, max_words=8).words == tuple(words)


@pytest.mark.parametrize("seed", range(4))
@torch.no_grad()
def test_a_wider_beam_of_all_never_meets_a_worse_sentence_than_any_narrow_one(seed: int) -> None:
    network, features = generator(seed, gain=3.0), torch.randn(3).double()
    everything = beam_search(network, features, beam=200, max_words=4).log_probability
    assert all(
        beam_search(network, features, beam=beam, max_words=4).log_probability <= everything + 1e-9
        for beam in (1, 2, 5)
    )
