from __future__ import annotations

import pytest

from detect.describe.tokens import Vocabulary, tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", ()),
        (" .!? _ ", ()),
        ("A dog's ball.", ("a", "dog", "s", "ball")),
        ("Two\tdogs , 3 CATS", ("two", "dogs", "3", "cats")),
        ("Ein großer Hund", ("ein", "großer", "hund")),
        ("snow_board t-shirt", ("snow", "board", "t", "shirt")),
    ],
)
def test_tokenize_keeps_letters_and_digits_in_lower_case(text: str, tokens: tuple[str, ...]) -> None:
    assert tokenize(text) == tokens


def test_vocabulary_of_no_sentence_has_the_three_special_words() -> None:
    vocabulary = Vocabulary.from_sentences([])
    assert vocabulary.words == ("<unknown>", "<start>", "<end>")
    assert vocabulary.encode(["dog"]) == [0]


def test_vocabulary_has_words_of_min_count_most_frequent_first_whatever_the_order_of_sentences() -> None:
    sentences = [("b", "a", "c"), ("a", "b"), ("a", "d")]
    vocabulary = Vocabulary.from_sentences(sentences, min_count=2)
    assert vocabulary.words[3:] == ("a", "b")
    assert Vocabulary.from_sentences(sentences[::-1], min_count=2) == vocabulary
    assert "a" in vocabulary
    assert "c" not in vocabulary


def test_vocabulary_encodes_unknown_words_as_0_and_names_them_once() -> None:
    vocabulary = Vocabulary.from_sentences([("a", "dog")], min_count=1)
    tokens = ("a", "cat", "a", "dog", "cat")
    assert vocabulary.encode(tokens) == [3, 0, 3, 4, 0]
    assert vocabulary.decode(vocabulary.encode(tokens)) == ("a", "<unknown>", "a", "dog", "<unknown>")
    assert vocabulary.unknown(tokens) == ("cat",)


@pytest.mark.parametrize("words", [(), ("a",), ("<unknown>", "<start>", "<end>", "a", "a")])
def test_vocabulary_refuses_other_special_words_and_words_twice(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"Vocabulary\.words"):
        Vocabulary(words)
