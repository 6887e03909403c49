"""A model of words and regions in use: together with the detector that finds the regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from detect.config import to_dict
from detect.config.describe import DescribeConfig
from detect.config.describe_files import parse_describe_config
from detect.config.files import merge_overrides
from detect.describe.input_files import changed_files, feature_files
from detect.describe.model import DescribeModel, load_describe_model
from detect.describe.region_extractor import RegionExtractor, build_region_extractor
from detect.describe.regions import RegionFeatures
from detect.describe.tokens import Vocabulary, tokenize
from detect.errors import UserError, did_you_mean, shorten


@dataclass(frozen=True)
class Alignment:
    """The regions of a photo and of the words of a sentence.

    tokens: T words; known (T,) bool: which of them the model knows; regions: R regions of the photo; assigned (T,) int:
    the region of each word; scores (T,): of the word with that region; photo_score: of the sentence with the photo.
    """

    tokens: tuple[str, ...]
    known: np.ndarray
    regions: RegionFeatures
    assigned: np.ndarray
    scores: np.ndarray
    photo_score: float

    def to_dict(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return the alignment as values for JSON; box and label are None for a word of the whole photo."""
        whole = len(self.regions) - 1
        words = [
            {
                "word": word,
                "known": bool(known),
                "box": None if region == whole else self.regions.boxes[region].tolist(),
                "label": None if region == whole else classes[int(self.regions.labels[region]) - 1],
                "score": float(score),
            }
            for word, known, region, score in zip(self.tokens, self.known, self.assigned, self.scores, strict=True)
        ]
        return {"sentence_score": self.photo_score, "words": words}


@dataclass(frozen=True)
class Match:
    """How well a photo fits a sentence: the score of the photo, and the region that fits best, with its score.

    box (4,) x1 y1 x2 y2 in pixels of the photo, which is the whole photo where label is 0.
    """

    photo_score: float
    region_score: float
    box: np.ndarray
    label: int


@dataclass(frozen=True)
class RegionCaption:
    """A sentence about a region, box (4,); label 0 is the whole photo. log_probability: of the sentence."""

    words: tuple[str, ...]
    log_probability: float
    box: np.ndarray
    label: int

    @property
    def mean_log_probability(self) -> float:
        """The mean over the words and the end of the sentence, so that long ones are not worse."""
        return self.log_probability / (len(self.words) + 1)


@dataclass(frozen=True)
class Describer:
    """A model with the detector whose regions it was trained on; photos are RGB uint8 (H, W, 3).

    notes: a line if the detector, or the weights of the features, are not those of the training.
    """

    model: DescribeModel
    extractor: RegionExtractor
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels 1..K of regions."""
        return self.extractor.classes

    def regions(self, rgb: np.ndarray, boxes: np.ndarray | None = None) -> RegionFeatures:
        """Return the regions of a photo: the detections, or ``boxes`` (B, 4), and the photo. Raises UserError."""
        regions = self.extractor.extract(rgb, boxes)
        if regions.features.shape[1] != self.model.length:
            raise UserError(
                f"detector: expected features of {self.model.length} numbers, on which the model was trained, "
                f"found {regions.features.shape[1]} with {self.extractor.predictor.file}"
            )
        return regions

    def align(self, rgb: np.ndarray, tokens: tuple[str, ...]) -> Alignment:
        """Return the region of each word of a sentence, one word or more."""
        regions = self.regions(rgb)
        scores = self.model.word_scores(regions.features, tokens)
        assigned = self.model.assign(scores)
        return Alignment(
            tokens=tokens,
            known=np.array([token in self.model.vocabulary for token in tokens]),
            regions=regions,
            assigned=assigned,
            scores=scores[np.arange(len(tokens)), assigned],
            photo_score=self.model.photo_score(regions.features, tokens),
        )

    def match(self, rgb: np.ndarray, tokens: tuple[str, ...]) -> Match:
        """Return how well a photo fits a sentence of one word or more."""
        regions = self.regions(rgb)
        region_scores = self.model.word_scores(regions.features, tokens).sum(axis=0)
        best = int(region_scores.argmax())
        return Match(
            photo_score=self.model.photo_score(regions.features, tokens),
            region_score=float(region_scores[best]),
            box=regions.boxes[best],
            label=int(regions.labels[best]),
        )

    def caption(self, rgb: np.ndarray, with_regions: bool = False, beam: int | None = None) -> list[RegionCaption]:
        """Return a sentence about the photo, and ``with_regions`` then one about each of its regions, best first.

        beam: as generator.beam, which None takes. Raises UserError for a model without a generator.
        """
        regions = self.regions(rgb)
        rows = [len(regions) - 1, *(range(len(regions) - 1) if with_regions else ())]
        captions = []
        for row in rows:
            words, log_probability = self.model.describe(regions.features[row], beam)
            captions.append(
                RegionCaption(
                    words=words,
                    log_probability=log_probability,
                    box=regions.boxes[row],
                    label=int(regions.labels[row]),
                )
            )
        return captions


def load_describer(path: Path, overrides: Sequence[str] = (), device: str | None = None) -> Describer:
    """Return the model of a run folder or a file, with its detector.

    overrides: KEY=VALUE settings that replace the model's: detector, data, segments.beta, generator.beam. Raises
    UserError, also for settings with which the networks would be others.
    """
    model = load_describe_model(path)
    flags = [*overrides, *([f"device={device}"] if device else [])]
    config = parse_describe_config(merge_overrides(to_dict(model.config), flags, DescribeConfig), "--set")
    for name in ("words", "alignment"):
        if getattr(config, name) != getattr(model.config, name):
            raise UserError(f"--set: expected {name}.* as {path} was trained with, found others")
    extractor = build_region_extractor(config)
    return Describer(
        model=replace(model, config=config).to(extractor.predictor.compute.device),
        extractor=extractor,
        notes=tuple(
            f"{path}: trained with another {changed} than this one, so its answers may be worse"
            for changed in changed_files(model.files, feature_files(config, extractor))
        ),
    )


def require_words(text: str, vocabulary: Vocabulary, label: str) -> tuple[str, ...]:
    """Return the words of a sentence, of which the model knows one or more. Raises UserError, which names ``label``."""
    tokens = tokenize(text)
    if not tokens:
        raise UserError(f"{label}: expected a sentence with words, found {shorten(text)}")
    unknown = vocabulary.unknown(tokens)
    if all(token in unknown for token in tokens):
        hint = did_you_mean(tokens[-1], vocabulary.words[3:])
        raise UserError(
            f"{label}: expected a word among the {len(vocabulary) - 3} that the model knows, found none in "
            f"{shorten(text)}{hint}"
        )
    return tokens


def describe_unknown(tokens: Sequence[str], vocabulary: Vocabulary) -> list[str]:
    """Return the line on words that the model does not know; none where it knows all."""
    unknown = vocabulary.unknown(tokens)
    if not unknown:
        return []
    return [f"unknown to the model, and read as one unknown word: {', '.join(unknown)}"]
