"""What the stages train on: photos with features and sentences, their batches, and texts about one vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from detect.describe.alignment import ComparedRegions, compared_rows
from detect.describe.padding import pad_regions, pad_words
from detect.describe.segments import Segment
from detect.describe.tokens import END_INDEX
from detect.system import randomness


@dataclass(frozen=True)
class TrainingPhoto:
    """A photo to train on: features (R, F) float32 with the whole photo last, and its sentences as indices of words.

    name: unique in the data set, the key of its random draws.
    """

    name: str
    features: Tensor
    sentences: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class PairBatch:
    """Photos (K, R, F) and one sentence of each (K, T); the masks are False in rows that only fill up."""

    words: Tensor
    is_word: Tensor
    regions: Tensor
    is_region: Tensor


@dataclass(frozen=True)
class PairBatches:
    """The batches of the alignment, found by the number of their step.

    An epoch is a pass over the photos in a random order; the photos that fill no batch are left to the next one. A
    photo shows another sentence in each epoch, and each of them once before one comes again. regions: what words are
    compared with.
    """

    photos: Sequence[TrainingPhoto]
    batch_size: int
    seed: int
    regions: ComparedRegions

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches of an epoch."""
        return max(1, len(self.photos) // self.batch_size)

    def batch(self, step: int) -> PairBatch:
        """Return the batch of a step, counted from 0."""
        epoch, index = divmod(step, self.steps_per_epoch)
        order = randomness.numpy_generator(self.seed, "describe photos", epoch).permutation(len(self.photos))
        chosen = [self.photos[n] for n in order[index * self.batch_size : (index + 1) * self.batch_size]]
        words, is_word = pad_words([self._sentence(photo, epoch) for photo in chosen])
        regions, is_region = pad_regions(
            [photo.features[compared_rows(len(photo.features), self.regions)] for photo in chosen]
        )
        return PairBatch(words=words, is_word=is_word, regions=regions, is_region=is_region)

    def _sentence(self, photo: TrainingPhoto, epoch: int) -> tuple[int, ...]:
        cycle, index = divmod(epoch, len(photo.sentences))
        draw = randomness.numpy_generator(self.seed, "describe sentence", photo.name, cycle)
        return photo.sentences[draw.permutation(len(photo.sentences))[index]]


@dataclass(frozen=True)
class RegionText:
    """Words about one row of the features of a photo: a segment about a region, or a sentence about the whole photo."""

    photo: int
    row: int
    words: tuple[int, ...]


@dataclass(frozen=True)
class TextBatch:
    """Features (N, F), the words that the generator reads (N, T), and those that it should write (N, T + 1).

    Targets end with END; those after it are -1.
    """

    features: Tensor
    words: Tensor
    targets: Tensor


@dataclass(frozen=True)
class TextBatches:
    """The batches of the generator, found by the number of their step; the last batch of an epoch may be small."""

    photos: Sequence[TrainingPhoto]
    texts: Sequence[RegionText]
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches of an epoch, a pass over the texts in a random order."""
        return -(-len(self.texts) // self.batch_size)

    def batch(self, step: int) -> TextBatch:
        """Return the batch of a step, counted from 0."""
        epoch, index = divmod(step, self.steps_per_epoch)
        order = randomness.numpy_generator(self.seed, "describe texts", epoch).permutation(len(self.texts))
        chosen = [self.texts[n] for n in order[index * self.batch_size : (index + 1) * self.batch_size]]
        words, _ = pad_words([text.words for text in chosen])
        targets, _ = pad_words([(*text.words, END_INDEX) for text in chosen], fill=-1)
        features = torch.stack([self.photos[text.photo].features[text.row] for text in chosen])
        return TextBatch(features=features, words=words, targets=targets)


def whole_photo_texts(photos: Sequence[TrainingPhoto]) -> list[RegionText]:
    """Return every sentence as a text about its whole photo."""
    return [
        RegionText(photo=index, row=len(photo.features) - 1, words=sentence)
        for index, photo in enumerate(photos)
        for sentence in photo.sentences
    ]


def segment_texts(
    photos: Sequence[TrainingPhoto], segments: Sequence[Sequence[Sequence[Segment]]], min_words: int = 1
) -> list[RegionText]:
    """Return the segments of ``min_words`` or more of every sentence of the photos as texts about their regions.

    Those of whole photos are left out.

    A segment of the whole photo is a rest of a sentence that belongs to no region, such as "of a": it would teach the
    generator to write such rests about photos.
    """
    return [
        RegionText(photo=index, row=segment.region, words=sentence[segment.first : segment.end])
        for index, (photo, by_sentence) in enumerate(zip(photos, segments, strict=True))
        for sentence, parts in zip(photo.sentences, by_sentence, strict=True)
        for segment in parts
        if segment.region < len(photo.features) - 1 and segment.end - segment.first >= min_words
    ]
