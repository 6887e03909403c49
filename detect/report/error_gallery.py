"""The gallery of examples: each an image with its ground truth, and next to it the same image with detections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from detect.data.annotations import Annotations
from detect.evaluation.analysis.error_types import ERROR_TYPES
from detect.evaluation.predictions import Prediction
from detect.report.cards import Card, CardMaker
from detect.report.embedded_images import ImageStore
from detect.report.examples import BEST, WORST, AtThresholds, GalleryExample, error_examples, whole_images

MAX_ERRORS, MAX_OF_A_KIND = 270, 50


@dataclass(frozen=True)
class EmbeddedImage:
    """An image as data URI, and the size of its file in pixels, in which the boxes are."""

    data_uri: str
    width: int
    height: int


@dataclass(frozen=True)
class ErrorGallery:
    """The images and cards of the gallery; Card.image is an index of images; left_out: examples without room."""

    images: tuple[EmbeddedImage, ...]
    cards: tuple[Card, ...]
    left_out: int

    @property
    def kinds(self) -> dict[str, int]:
        """The number of cards of each kind, in the order of the page."""
        counts = {kind: sum(card.kind == kind for card in self.cards) for kind in (*ERROR_TYPES, WORST, BEST)}
        return {kind: count for kind, count in counts.items() if count}


def make_gallery(
    annotations: Annotations, at: AtThresholds, predictions: Sequence[Prediction], store: ImageStore
) -> ErrorGallery:
    """Make as many examples as the store has room for, at most 50 errors of a kind.

    predictions: those of all images, from which the errors are; their masks are drawn.

    Errors of every kind alternate, the worst of each kind first; whole images follow, but get their room first.
    """
    examples = [*whole_images(at), *_limit_kinds(error_examples(at, 10 * MAX_ERRORS))]
    indices: dict[int, int] = {}  # image of the data -> image of the page
    images: list[EmbeddedImage] = []
    cards = []
    maker = CardMaker(annotations, at, predictions)
    for example in examples:
        uri = store.data_uri(annotations.file(example.image))
        if uri is None:
            continue
        if example.image not in indices:
            height, width = annotations.size(example.image)
            indices[example.image] = len(images)
            images.append(EmbeddedImage(uri, width, height))
        cards.append(maker.card(example, indices[example.image]))
    cards.sort(key=lambda card: card.kind in (WORST, BEST))
    return ErrorGallery(tuple(images), tuple(cards), len(examples) - len(cards))


def _limit_kinds(examples: Sequence[GalleryExample]) -> list[GalleryExample]:
    """Return the examples without those beyond the limits of errors in all and of a kind."""
    counts: Counter[str] = Counter()
    limited = []
    for example in examples:
        counts[example.kind] += 1
        if counts[example.kind] <= MAX_OF_A_KIND:
            limited.append(example)
    return limited[:MAX_ERRORS]
