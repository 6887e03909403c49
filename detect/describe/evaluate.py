"""Scores a model of words and regions on a data set: retrieval, pointing, and what it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from detect.describe.captions import CaptionDataset, CaptionedImage
from detect.describe.describer import Describer
from detect.describe.formats.grammar import names_class
from detect.describe.pointing import MentionRegions, PointingScores, point, pointing_scores
from detect.describe.region_features import features_of
from detect.describe.regions import RegionFeatures
from detect.describe.retrieval import (
    RetrievalScores,
    rank_photos_for_sentences,
    rank_sentences_for_photos,
    retrieval_scores,
)
from detect.describe.text_scores import TextScores, text_scores
from detect.system.progress import show_progress


@dataclass(frozen=True)
class RegionCaptionScores:
    """right: the fraction of captions of true boxes that say kind and texture of the shape; captions: their number."""

    right: float | None
    captions: int


@dataclass(frozen=True)
class DescribeScores:
    """The scores of a model on a data set, which are None where the data have no boxes or the model does not write.

    pointing: with the regions of the detector; pointing_on_objects: with the labeled boxes as regions, which leaves
    out what the detector misses; ranks_of_sentences (K,): of the best sentence of each photo that has sentences;
    ranks_of_photos (L,): of the photo of each sentence; photo_of_sentence (L,): the index of that photo.
    """

    photos: int
    sentences: int
    photo_to_sentence: RetrievalScores
    sentence_to_photo: RetrievalScores
    pointing: PointingScores | None
    pointing_on_objects: PointingScores | None
    text: TextScores | None
    region_captions: RegionCaptionScores | None
    ranks_of_sentences: np.ndarray
    ranks_of_photos: np.ndarray
    photo_of_sentence: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as values for JSON, without the ranks."""
        arrays = ("ranks_of_sentences", "ranks_of_photos", "photo_of_sentence")
        return {name: score for name, score in asdict(self).items() if name not in arrays}


def evaluate_describer(
    describer: Describer, dataset: CaptionDataset, cache: Path, console: Console, with_text: bool
) -> DescribeScores:
    """Return the scores of a model on a data set.

    cache: the folder of the features; with_text: whether to write sentences and score them, which needs the packages of
    the extra ``describe`` and takes most of the time.
    """
    regions = features_of(describer.extractor, dataset, cache, console)
    tokens = [[sentence.tokens for sentence in image.sentences] for image in dataset.images]
    photo_of_sentence = np.repeat(np.arange(len(tokens)), [len(of_photo) for of_photo in tokens])
    all_tokens = [words for of_photo in tokens for words in of_photo]
    scores = describer.model.photo_scores([photo.features for photo in regions], all_tokens)
    ranks_of_sentences = rank_sentences_for_photos(scores, photo_of_sentence)
    ranks_of_photos = rank_photos_for_sentences(scores, photo_of_sentence)
    writes = with_text and describer.model.generator is not None
    has_mentions = any(sentence.mentions for image in dataset.images for sentence in image.sentences)
    objects = _regions_of_objects(describer, dataset, console) if has_mentions else []
    shapes = describer.model.config.data.format == "shapes"
    return DescribeScores(
        photos=len(tokens),
        sentences=len(all_tokens),
        photo_to_sentence=retrieval_scores(ranks_of_sentences),
        sentence_to_photo=retrieval_scores(ranks_of_photos),
        pointing=score_pointing(describer, dataset.images, regions) if has_mentions else None,
        pointing_on_objects=score_pointing(describer, dataset.images, objects) if has_mentions else None,
        text=_score_text(describer, tokens, regions, console) if writes else None,
        region_captions=_score_region_captions(describer, dataset, objects, console) if writes and shapes else None,
        ranks_of_sentences=ranks_of_sentences,
        ranks_of_photos=ranks_of_photos,
        photo_of_sentence=photo_of_sentence,
    )


def score_pointing(
    describer: Describer, images: Sequence[CaptionedImage], regions: Sequence[RegionFeatures]
) -> PointingScores:
    """Return the pointing accuracy of all mentions, with these regions of each photo."""
    answers: list[MentionRegions] = []
    for image, of_photo in zip(images, regions, strict=True):
        for sentence in image.sentences:
            if sentence.mentions:
                scores = describer.model.word_scores(of_photo.features, sentence.tokens)
                assigned = describer.model.assign(scores)
                answers += [point(mention, scores, assigned, of_photo.boxes) for mention in sentence.mentions]
    return pointing_scores(answers)


def _regions_of_objects(describer: Describer, dataset: CaptionDataset, console: Console) -> list[RegionFeatures]:
    """Return the labeled boxes of each photo as its regions, in their order."""
    regions = []
    with show_progress(console, "features of labeled boxes", len(dataset.images), "photos") as progress:
        for index, image in enumerate(dataset.images):
            regions.append(describer.regions(dataset.read(index), image.boxes))
            progress.advance(1)
    return regions


def _score_text(
    describer: Describer,
    tokens: Sequence[Sequence[tuple[str, ...]]],
    regions: Sequence[RegionFeatures],
    console: Console,
) -> TextScores:
    """Return the scores of a sentence about each whole photo."""
    written = _write(describer, [photo.whole_photo for photo in regions], "sentences of photos", console)
    return text_scores(written, tokens)


def _score_region_captions(
    describer: Describer, dataset: CaptionDataset, objects: Sequence[RegionFeatures], console: Console
) -> RegionCaptionScores:
    """Return how many sentences about the boxes of shapes say what they are."""
    vectors = [features for photo in objects for features in photo.features[:-1]]
    names = [dataset.classes[int(label) - 1] for image in dataset.images for label in image.labels]
    written = _write(describer, vectors, "sentences of regions", console)
    right = [names_class(words, name) for words, name in zip(written, names, strict=True)]
    return RegionCaptionScores(right=float(np.mean(right)) if right else None, captions=len(right))


def _write(describer: Describer, vectors: Sequence[np.ndarray], label: str, console: Console) -> list[tuple[str, ...]]:
    """Return a sentence for each vector of features."""
    written = []
    with show_progress(console, label, len(vectors), "sentences") as progress:
        for features in vectors:
            written.append(describer.model.describe(features)[0])
            progress.advance(1)
    return written


def recall_difference(
    ranks: tuple[np.ndarray, np.ndarray], photos: np.ndarray, cutoff: int = 10, replicates: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Return the recall at ``cutoff`` of the first ranks (Q,) minus that of the second, and its 95% interval.

    photos (Q,): the photo of each query. The bootstrap draws photos, with all their queries, for both models at once
    (Efron and Tibshirani 1993, chapter 13).
    """
    gains = (ranks[0] <= cutoff).astype(float) - (ranks[1] <= cutoff)
    _, groups = np.unique(photos, return_inverse=True)
    sums, counts = np.bincount(groups, gains), np.bincount(groups)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(sums), (replicates, len(sums)))
    samples = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(samples, [0.025, 0.975])
    return float(gains.mean()), float(low), float(high)
