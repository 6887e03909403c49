"""Scores of written sentences against those of people: BLEU, ROUGE-L and CIDEr, each by a library.

All compare the words that ``tokenize`` keeps, as the paper does. BLEU-n is that of a corpus, from sacrebleu, without
smoothing. ROUGE-L is the mean F of each sentence with the reference that fits best, from rouge-score (the COCO server
weights recall more). CIDEr is CIDEr-D of the COCO server, from the Python class of pycocoevalcap; it is None where that
package is not installed: 100 MB, most of them Java programs that are not needed here.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from detect.system.packages import has_package, import_package

Words = Sequence[str]
_PURPOSE = "detect describe eval"
_MAX_N = 4


@dataclass(frozen=True)
class TextScores:
    """bleu: BLEU-1 to BLEU-4 in 0..1; rouge_l: in 0..1; cider: in 0..10; None where nothing was written or no package.

    sentences: the number of written sentences.
    """

    bleu: tuple[float, ...] | None
    rouge_l: float | None
    cider: float | None
    sentences: int


def text_scores(written: Sequence[Words], references: Sequence[Sequence[Words]]) -> TextScores:
    """Return the scores of a sentence a photo; references: those of people for the same photos, one or more each.

    Raises UserError if sacrebleu or rouge-score is missing (the extra ``describe``).
    """
    if len(written) != len(references) or not all(references):
        raise ValueError(f"expected references for {len(written)} sentences, found those of {len(references)}")
    if not written:
        return TextScores(bleu=None, rouge_l=None, cider=None, sentences=0)
    texts = [" ".join(words) for words in written]
    reference_texts = [[" ".join(words) for words in of_photo] for of_photo in references]
    return TextScores(
        bleu=tuple(_bleu(texts, reference_texts, n) for n in range(1, _MAX_N + 1)),
        rouge_l=_rouge_l(texts, reference_texts),
        cider=_cider(texts, reference_texts),
        sentences=len(texts),
    )


def require_packages() -> None:
    """Raise UserError unless the packages of the extra ``describe`` are there; call it before any work."""
    import_package("sacrebleu", _PURPOSE)
    import_package("rouge_score", _PURPOSE, "rouge-score")


def _bleu(texts: Sequence[str], references: Sequence[Sequence[str]], n: int) -> float:
    """Return BLEU-n in 0..1."""
    bleu = import_package("sacrebleu.metrics", _PURPOSE, "sacrebleu").BLEU
    metric = bleu(tokenize="none", smooth_method="none", max_ngram_order=n, force=True)
    num_streams = max(map(len, references))
    streams = [[of_photo[i] if i < len(of_photo) else None for of_photo in references] for i in range(num_streams)]
    return float(metric.corpus_score(list(texts), streams).score) / 100


def _rouge_l(texts: Sequence[str], references: Sequence[list[str]]) -> float:
    """Return the mean ROUGE-L in 0..1."""
    rouge = import_package("rouge_score.rouge_scorer", _PURPOSE, "rouge-score")
    scorer = rouge.RougeScorer(["rougeL"], tokenizer=_Splitter())
    scores = [
        scorer.score_multi(list(of_photo), text)["rougeL"].fmeasure
        for text, of_photo in zip(texts, references, strict=True)
    ]
    return float(sum(scores) / len(scores))


class _Splitter:
    """A tokenizer of rouge-score for texts whose words are known: its own leaves out letters beyond a to z."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words between blanks."""
        return text.split()


def _cider(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float | None:
    """Return CIDEr-D in 0..10, whose weights of words come from the references themselves; None without the package."""
    if not has_package("pycocoevalcap"):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escape sequences in its source code
        cider = import_package("pycocoevalcap.cider.cider", _PURPOSE, "pycocoevalcap").Cider()
    score, _ = cider.compute_score(dict(enumerate(map(list, references))), {i: [text] for i, text in enumerate(texts)})
    return float(score)
