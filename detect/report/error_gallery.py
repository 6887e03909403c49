"""Examples as pictures to look at: an image with what is there, and beside it what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from detect.data.annotations import Annotations
from detect.evaluation.analysis.error_types import KINDS
from detect.report.cards import Card, CardMaker
from detect.report.embedded_images import ImageStore
from detect.report.examples import BEST, WORST, Example, Judged, error_examples, whole_images

MOST_ERRORS, MOST_OF_A_KIND = 270, 50


@dataclass(frozen=True)
class Image:
    """A data URI, and the size to show it in: that of the file, whose pixels boxes are in."""

    address: str
    width: int
    height: int


@dataclass(frozen=True)
class Gallery:
    """images: a card names its by the place here; left_out: examples that there was no room for."""

    images: tuple[Image, ...]
    cards: tuple[Card, ...]
    left_out: int

    @property
    def kinds(self) -> dict[str, int]:
        """How many cards there are of each kind, in the order to show them."""
        counts = {kind: sum(card.kind == kind for card in self.cards) for kind in (*KINDS, WORST, BEST)}
        return {kind: count for kind, count in counts.items() if count}


def make_gallery(annotations: Annotations, judged: Judged, store: ImageStore) -> Gallery:
    """As many examples as the store has room for, at most 50 errors of a kind: errors of every kind in turn, the worst
    of each first, then whole images, which are given room before them.
    """
    examples = [*whole_images(judged), *_some_of_each(error_examples(judged, 10 * MOST_ERRORS))]
    numbers: dict[int, int] = {}
    images: list[Image] = []
    cards = []
    maker = CardMaker(annotations, judged)
    for example in examples:
        address = store.address(annotations.file(example.image))
        if address is None:
            continue
        if example.image not in numbers:
            height, width = annotations.size(example.image)
            numbers[example.image] = len(images)
            images.append(Image(address, width, height))
        cards.append(maker.card(example, numbers[example.image]))
    cards.sort(key=lambda card: card.kind in (WORST, BEST))
    return Gallery(tuple(images), tuple(cards), len(examples) - len(cards))


def _some_of_each(examples: Sequence[Example]) -> list[Example]:
    counts: Counter[str] = Counter()
    chosen = []
    for example in examples:
        counts[example.kind] += 1
        if counts[example.kind] <= MOST_OF_A_KIND:
            chosen.append(example)
    return chosen[:MOST_ERRORS]
