from __future__ import annotations

from pathlib import Path

import pytest
import torch

from detect.describe.tokens import Vocabulary
from detect.describe.word_vectors import random_vectors, read_vectors
from detect.errors import UserError

VOCABULARY = Vocabulary.from_sentences([("dog", "ball", "red")], min_count=1)


def test_a_word_has_the_same_random_vector_in_any_vocabulary() -> None:
    other = Vocabulary.from_sentences([("red",)], min_count=1)
    ours, theirs = random_vectors(VOCABULARY, 4, seed=1), random_vectors(other, 4, seed=1)
    assert torch.equal(ours[VOCABULARY.encode(["red"])], theirs[other.encode(["red"])])
    assert not torch.equal(ours, random_vectors(VOCABULARY, 4, seed=2))
    assert ours.shape == (6, 4)


@pytest.mark.parametrize("header", ["", "3 2\n"])
def test_vectors_of_a_file_are_scaled_and_missing_words_are_named(header: str, tmp_path: Path) -> None:
    file = tmp_path / "vectors.txt"
    file.write_text(f"{header}Dog 1 -1\ncat 9 9\nred 3 -3\n", encoding="utf-8")
    read = read_vectors(file, VOCABULARY, seed=1)
    scale = 5**0.5  # the root of the mean of 1, 1, 9, 9
    expected = torch.tensor([[1.0, -1.0], [3.0, -3.0]]) / scale
    torch.testing.assert_close(read.vectors[VOCABULARY.encode(["dog", "red"])], expected)
    assert read.missing == ("ball",)
    assert read.num_respelled == 0
    assert torch.equal(read.vectors[VOCABULARY.encode(["ball"])], random_vectors(VOCABULARY, 2, 1)[[3]])


def test_the_first_spelling_of_a_word_counts(tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text("dog 1 -1\nDOG 5 5\nDog 7 7\n", encoding="utf-8")
    read = read_vectors(tmp_path / "vectors.txt", VOCABULARY, seed=1)
    assert read.vectors[VOCABULARY.encode(["dog"])].tolist() == [[1, -1]]
    assert read.num_respelled == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected vectors of words of the training sentences, found none of them"),
        ("cat 1 2\n", "found none of them"),
        ("dog 1 2\nred x y\n", "line 2: expected a word and its numbers, found"),
        ("dog 1 2\n\n", "line 2: expected a word and its numbers, found"),
        ("dog 1 2\nred 1 2 3\n", "vector 2: expected 2 numbers, found 3"),
    ],
)
def test_a_damaged_file_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_vectors(tmp_path / "vectors.txt", VOCABULARY, seed=1)
