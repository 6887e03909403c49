from __future__ import annotations

import pytest
import torch
from torch import Tensor

from detect.describe.padding import pad_words
from detect.describe.region_encoder import FeatureScale, RegionEncoder
from detect.describe.sentence_encoder import SentenceEncoder

SENTENCES = [[3, 1, 4, 1, 5], [2], [], [0, 5, 3]]


def encoder(*, recurrent: bool = True, learned: bool = True) -> SentenceEncoder:
    """An encoder of 6 words with vectors of 3 numbers, 4 hidden units and outputs of 5, in float64."""
    torch.manual_seed(0)
    made = SentenceEncoder(torch.randn(6, 3), learned=learned, hidden=4, dim=5, recurrent=recurrent)
    return made.double()


def affine(weight: Tensor, bias: Tensor, vector: list[float]) -> list[float]:
    return [
        sum(float(w) * x for w, x in zip(row, vector, strict=True)) + float(b)
        for row, b in zip(weight, bias, strict=True)
    ]


def add(*vectors: list[float]) -> list[float]:
    return [sum(numbers) for numbers in zip(*vectors, strict=True)]


def relu(vector: list[float]) -> list[float]:
    return [max(0.0, number) for number in vector]


def encode_by_loops(network: SentenceEncoder, sentence: list[int]) -> list[list[float]]:
    """The paper's five formulas, word by word and number by number."""
    inputs = [
        relu(affine(network.input.weight, network.input.bias, network.word_vectors.weight[word].tolist()))
        for word in sentence
    ]
    states = inputs
    if network.forward_step is not None and network.backward_step is not None:
        forward, backward, count = [[0.0] * 4], [[0.0] * 4], len(sentence)
        for t in range(count):
            step = affine(network.forward_step.weight, network.forward_step.bias, forward[-1])
            forward.append(relu(add(inputs[t], step)))
        for t in reversed(range(count)):
            step = affine(network.backward_step.weight, network.backward_step.bias, backward[-1])
            backward.append(relu(add(inputs[t], step)))
        states = [add(forward[t + 1], backward[count - t]) for t in range(count)]
    return [relu(affine(network.output.weight, network.output.bias, state)) for state in states]


@pytest.mark.parametrize("recurrent", [True, False])
@torch.no_grad()
def test_sentence_encoder_equals_the_formulas_in_loops(recurrent: bool) -> None:
    network = encoder(recurrent=recurrent)
    vectors = network(*pad_words(SENTENCES))
    assert vectors.shape == (4, 5, 5)
    for row, sentence in zip(vectors, SENTENCES, strict=True):
        expected = encode_by_loops(network, sentence)
        for vector, numbers in zip(row, expected, strict=False):
            assert vector.tolist() == pytest.approx(numbers, abs=1e-12)


@pytest.mark.parametrize("recurrent", [True, False])
def test_a_word_knows_its_neighbors_with_a_recurrence_alone(recurrent: bool) -> None:
    network = encoder(recurrent=recurrent)
    first, second = network(*pad_words([[3, 1, 4], [3, 1, 2]]))[:, 1]
    assert bool((first == second).all()) != recurrent


def test_gradients_of_the_encoder_equal_finite_differences() -> None:
    network, (words, is_word) = encoder(), pad_words(SENTENCES)
    parameters = dict(network.named_parameters())

    def outputs(*weights: Tensor) -> Tensor:
        made: Tensor = torch.func.functional_call(
            network, dict(zip(parameters, weights, strict=True)), (words, is_word)
        )
        return made[is_word]

    assert torch.autograd.gradcheck(outputs, tuple(parameters.values()))


def test_vectors_that_are_not_learned_have_no_gradient() -> None:
    assert not encoder(learned=False).word_vectors.weight.requires_grad
    assert encoder(learned=True).word_vectors.weight.requires_grad


def test_feature_scale_of_no_regions_changes_nothing() -> None:
    scale = FeatureScale(2)
    scale.fit(torch.zeros(0, 2))
    assert scale(torch.tensor([[3.0, 4.0]])).tolist() == [[3.0, 4.0]]


def test_feature_scale_gives_mean_0_and_deviation_1_and_shifts_constants() -> None:
    scale = FeatureScale(3)
    features = torch.tensor([[1.0, 5.0, 0.0], [3.0, 5.0, 1000.0]])
    scale.fit(features)
    assert scale(features).tolist() == [[-1.0, 0.0, -1.0], [1.0, 0.0, 1.0]]


@torch.no_grad()
def test_region_encoder_is_an_affine_layer_of_the_features() -> None:
    encoder = RegionEncoder(2, 3).double()
    encoder.scale.fit(torch.tensor([[1.0, 5.0], [3.0, 9.0]]))
    first, second = torch.randn(2, 2, dtype=torch.float64)
    middle = encoder((first + second) / 2)
    assert torch.allclose(middle, (encoder(first) + encoder(second)) / 2)
    weight, bias = encoder.output.weight, encoder.output.bias
    expected = affine(weight, bias, [(first[0].item() - 2) / 1, (first[1].item() - 7) / 2])
    assert encoder(first).tolist() == pytest.approx(expected)
