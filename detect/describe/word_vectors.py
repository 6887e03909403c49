"""The vectors that words begin with: random ones, or those of a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from detect.describe.tokens import NUM_SPECIAL, Vocabulary
from detect.errors import UserError, shorten
from detect.system import randomness
from detect.system.files import require_file


@dataclass(frozen=True)
class FileVectors:
    """Vectors (V, E) of a vocabulary from a file; missing: the words that it lacks, whose vectors are random.

    num_respelled: the lines that were passed over because another spelling of their word came before: dog, then DOG.
    """

    vectors: Tensor
    missing: tuple[str, ...]
    num_respelled: int


def random_vectors(vocabulary: Vocabulary, dim: int, seed: int) -> Tensor:
    """Return vectors (V, dim) of numbers of mean 0 and standard deviation 1; a word has the same in any vocabulary."""
    rows = [
        torch.from_numpy(randomness.numpy_generator(seed, "word vector", word).standard_normal(dim)).float()
        for word in vocabulary.words
    ]
    return torch.stack(rows)


def read_vectors(file: Path, vocabulary: Vocabulary, seed: int) -> FileVectors:
    """Return the vectors that a text file has for the words of a vocabulary.

    file: a word and its E numbers a line, in UTF-8, as word2vec and GloVe write it; a first line with two numbers is
    skipped. Case is ignored: of several spellings of a word the first counts, as these files begin with the most
    frequent. All are scaled so that the numbers have standard deviation 1. Raises UserError, which names the line.
    """
    known: dict[str, list[float]] = {}
    num_respelled = 0
    for number, (word, numbers) in enumerate(_read_lines(file), start=1):
        first = next(iter(known.values()), numbers)
        if len(numbers) != len(first):
            raise UserError(f"{file}: vector {number}: expected {len(first)} numbers, found {len(numbers)}")
        if word in known:
            num_respelled += 1
        elif word in vocabulary:
            known[word] = numbers
    if not known:
        raise UserError(f"{file}: expected vectors of words of the training sentences, found none of them")
    rows = torch.tensor(list(known.values()))
    vectors = random_vectors(vocabulary, rows.shape[1], seed)
    vectors[vocabulary.encode(known)] = rows / rows.std(correction=0).clamp(min=1e-12)
    missing = tuple(word for word in vocabulary.words[NUM_SPECIAL:] if word not in known)
    return FileVectors(vectors=vectors, missing=missing, num_respelled=num_respelled)


def _read_lines(file: Path) -> Iterator[tuple[str, list[float]]]:
    """Yield each word of a file of word vectors in lower case, with its numbers. Raises UserError."""
    with require_file(file, "a text file of word vectors").open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            fields = line.split()
            if number == 1 and len(fields) == 2:
                continue
            try:
                numbers = [float(field) for field in fields[1:]]
            except ValueError:
                numbers = []
            if not numbers:
                raise UserError(
                    f"{file}: line {number}: expected a word and its numbers, found {shorten(line.strip())}"
                )
            yield fields[0].lower(), numbers
