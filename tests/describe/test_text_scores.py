"""BLEU, ROUGE-L and CIDEr of the libraries are compared with loops over their definitions."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from detect.describe.text_scores import text_scores

WRITTEN = ["a dog runs on the grass", "two men sit", "a cat"]
REFERENCES = [
    ["a brown dog runs on grass", "the dog is on the grass"],
    ["two men sit on a bench", "two people sit", "men on a bench"],
    ["a black cat sleeps"],
]


def words(texts: list[str]) -> list[list[str]]:
    return [text.split() for text in texts]


def ngrams(tokens: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def slow_bleu(max_n: int) -> float:
    """Papineni et al. 2002, section 2: clipped counts of the corpus, the closest length of a reference."""
    logarithms = []
    length = closest = 0
    for n in range(1, max_n + 1):
        right = total = 0
        for text, references in zip(WRITTEN, REFERENCES, strict=True):
            for gram, count in ngrams(text.split(), n).items():
                right += min(count, max(ngrams(reference.split(), n)[gram] for reference in references))
                total += count
        logarithms.append(math.log(right / total) if right else -math.inf)
    for text, references in zip(WRITTEN, REFERENCES, strict=True):
        size = len(text.split())
        length += size
        closest += min((abs(len(other.split()) - size), len(other.split())) for other in references)[1]
    return min(1.0, math.exp(1 - closest / length)) * math.exp(sum(logarithms) / max_n)


def slow_rouge_l(text: list[str], reference: list[str]) -> float:
    """Lin 2004, section 3: the F of the longest common subsequence."""
    table = [[0] * (len(reference) + 1) for _ in range(len(text) + 1)]
    for i, word in enumerate(text):
        for j, other in enumerate(reference):
            table[i + 1][j + 1] = table[i][j] + 1 if word == other else max(table[i][j + 1], table[i + 1][j])
    common = table[-1][-1]
    return 2 * common / (len(text) + len(reference))


def slow_cider() -> float:
    """CIDEr-D of Vedantam et al. 2015, section 4, with the sigma of 6 of the COCO server and its lengths in bigrams."""
    documents: Counter[tuple[str, ...]] = Counter()
    for references in REFERENCES:
        documents.update({gram for text in references for n in range(1, 5) for gram in ngrams(text.split(), n)})

    def vector(text: str, n: int) -> dict[tuple[str, ...], float]:
        return {
            gram: count * (math.log(len(REFERENCES)) - math.log(max(1, documents[gram])))
            for gram, count in ngrams(text.split(), n).items()
        }

    def norm(weights: dict[tuple[str, ...], float]) -> float:
        return math.sqrt(sum(weight**2 for weight in weights.values()))

    total = 0.0
    for text, references in zip(WRITTEN, REFERENCES, strict=True):
        for reference in references:
            penalty = math.exp(-((len(text.split()) - len(reference.split())) ** 2) / (2 * 6**2))
            for n in range(1, 5):
                ours, theirs = vector(text, n), vector(reference, n)
                product = sum(min(weight, theirs.get(gram, 0)) * theirs.get(gram, 0) for gram, weight in ours.items())
                if norm(ours) and norm(theirs):
                    total += 10 * penalty * product / (norm(ours) * norm(theirs)) / 4 / len(references)
    return total / len(WRITTEN)


def test_no_sentence_has_no_score() -> None:
    scores = text_scores([], [])
    assert (scores.bleu, scores.rouge_l, scores.cider, scores.sentences) == (None, None, None, 0)


def test_a_photo_without_references_is_refused() -> None:
    with pytest.raises(ValueError, match="references"):
        text_scores([["a"]], [[]])


def test_bleu_and_rouge_l_are_those_of_loops() -> None:
    pytest.importorskip("sacrebleu", reason="sacrebleu is optional (the extra describe), and not installed here")
    pytest.importorskip("rouge_score", reason="rouge-score is optional (the extra describe), and not installed here")
    scores = text_scores(words(WRITTEN), [words(references) for references in REFERENCES])
    assert scores.bleu == pytest.approx([slow_bleu(n) for n in (1, 2, 3, 4)], abs=1e-9)
    expected = [
        max(slow_rouge_l(text.split(), reference.split()) for reference in references)
        for text, references in zip(WRITTEN, REFERENCES, strict=True)
    ]
    assert scores.rouge_l == pytest.approx(sum(expected) / len(expected))


def test_cider_is_that_of_loops() -> None:
    pytest.importorskip("sacrebleu", reason="sacrebleu is optional (the extra describe), and not installed here")
    pytest.importorskip("rouge_score", reason="rouge-score is optional (the extra describe), and not installed here")
    pytest.importorskip("pycocoevalcap", reason="pycocoevalcap is optional, and not installed here")
    scores = text_scores(words(WRITTEN), [words(references) for references in REFERENCES])
    assert scores.cider == pytest.approx(slow_cider())
