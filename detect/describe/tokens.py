"""Words of a sentence, and the vocabulary that numbers them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

UNKNOWN, START, END = "<unknown>", "<start>", "<end>"
UNKNOWN_INDEX, START_INDEX, END_INDEX = 0, 1, 2
_SPECIAL = (UNKNOWN, START, END)
NUM_SPECIAL = len(_SPECIAL)  # so many words of a vocabulary are none of a sentence

_WORD = re.compile(r"[^\W_]+")


def tokenize(text: str) -> tuple[str, ...]:
    """Return the words of a text in lower case: runs of letters and digits, as the paper keeps them (section 4).

    ``"A dog's ball."`` -> ``("a", "dog", "s", "ball")``; a text without letters and digits has none.
    """
    return tuple(_WORD.findall(text.lower()))


@dataclass(frozen=True)
class Vocabulary:
    """The words that a model knows; the index of a word is its number.

    words: first ``<unknown>``, ``<start>`` and ``<end>``, which no token equals, as tokens have no brackets; then the
    words, most frequent first.
    """

    words: tuple[str, ...]
    _indices: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.words[:3] != _SPECIAL:
            raise ValueError(f"Vocabulary.words: expected {_SPECIAL} first, found {self.words[:3]}")
        indices = {word: index for index, word in enumerate(self.words)}
        if len(indices) < len(self.words):
            raise ValueError("Vocabulary.words: expected each word once")
        object.__setattr__(self, "_indices", indices)

    @classmethod
    def from_sentences(cls, sentences: Iterable[Sequence[str]], min_count: int = 5) -> Vocabulary:
        """Return the words that occur ``min_count`` times or more in the tokens of all sentences.

        Equally frequent words are in the order of the alphabet, so that the order of the sentences does not matter.
        """
        counts = Counter(token for tokens in sentences for token in tokens)
        known = sorted((word for word in counts if counts[word] >= min_count), key=lambda word: (-counts[word], word))
        return cls((*_SPECIAL, *known))

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._indices

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the index of each token; 0 for one that is not known."""
        return [self._indices.get(token, UNKNOWN_INDEX) for token in tokens]

    def decode(self, indices: Iterable[int]) -> tuple[str, ...]:
        """Return the word of each index. Raises IndexError outside 0..len - 1."""
        return tuple(self.words[index] for index in indices)

    def unknown(self, tokens: Iterable[str]) -> tuple[str, ...]:
        """Return the tokens that are not known, each once, in their order."""
        return tuple(dict.fromkeys(token for token in tokens if token not in self._indices))
