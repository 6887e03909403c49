"""Sentences about the built-in shapes, made by a small grammar, with the object that each word means.

    sentence = [opening] phrase relation phrase [and relation phrase]
    phrase   = "a" [size] [color] [texture] kind       a small red striped disc
    relation = "left of" | "right of" | "above" | "below"

Every phrase fits one object of its image only, so that a sentence without relations would still name the same objects.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from detect.data.shapes.scene import Scene
from detect.data.shapes.sprite import CLASSES
from detect.describe.captions import Mention, Sentence

SENTENCES_PER_IMAGE = 5  # as Flickr8k and COCO have
MIN_OBJECTS = 2  # with phrases of their own: fewer do not tell an image from hundreds of others
_MAX_OBJECTS = 3  # in one sentence
_OMITTED = 1 / 8  # the share of phrases without their size, and of those without their color
_SMALL, _LARGE = 0.25, 0.38  # of the image: the root of the box's share of its area; a third of the objects is between
_GRAY_CHROMA = 40  # of 255: below this difference of the strongest and the weakest channel a color has no clear hue
_HUES = ("red", "yellow", "green", "cyan", "blue", "pink")  # at 0, 60, ... 300 degrees
_OPENINGS: tuple[tuple[str, ...], ...] = ((), ("there", "is"), ("we", "see"))


@dataclass(frozen=True)
class ShapeWords:
    """The words for one object: kind, and size, color and texture, which are empty where there is no word for them.

    box (4,) float32 x1 y1 x2 y2.
    """

    kind: str
    size: str
    color: str
    texture: str
    box: np.ndarray

    @property
    def words(self) -> tuple[str, ...]:
        """The words in their order, without the article."""
        return tuple(word for word in (self.size, self.color, self.texture, self.kind) if word)

    def fits(self, phrase: Sequence[str]) -> bool:
        """Return True if each word of a phrase, without its article, is one of this object's.

        A texture that is not said is none: "a disc" is not striped.
        """
        return set(phrase) <= set(self.words) and (not self.texture or self.texture in phrase)


def class_words(name: str) -> tuple[str, str]:
    """Return the texture and the kind of a class of the shapes: ("striped", "disc"), ("", "ring")."""
    texture, _, kind = name.rpartition("_")
    return texture, kind


def names_class(words: Sequence[str], name: str) -> bool:
    """Return True if words say the kind and the texture of a class of the shapes, and those of no other class."""
    known = {word for other in CLASSES for word in class_words(other) if word}
    return {word for word in words if word in known} == {word for word in class_words(name) if word}


def describe_objects(scene: Scene) -> tuple[ShapeWords, ...]:
    """Return the words for each object of an image."""
    height, width = scene.rgb.shape[:2]
    described = []
    for box, label, color in zip(scene.boxes.astype(np.float32), scene.labels, scene.colors, strict=True):
        texture, kind = class_words(CLASSES[int(label) - 1])
        side = float(np.sqrt((box[2] - box[0]) * (box[3] - box[1]) / (height * width)))
        size = "small" if side < _SMALL else "large" if side > _LARGE else ""
        described.append(ShapeWords(kind=kind, size=size, color=color_name(color), texture=texture, box=box))
    return tuple(described)


def color_name(rgb: np.ndarray) -> str:
    """Return the name of a color (3,) in 0..255: gray, or the nearest of six hues."""
    red, green, blue = (float(channel) / 255 for channel in rgb)
    if max(red, green, blue) - min(red, green, blue) < _GRAY_CHROMA / 255:
        return "gray"
    return _HUES[round(colorsys.rgb_to_hsv(red, green, blue)[0] * len(_HUES)) % len(_HUES)]


def make_sentences(objects: Sequence[ShapeWords], rng: np.random.Generator) -> tuple[Sentence, ...]:
    """Return five sentences about two or three objects each; none where fewer than two have a phrase of their own."""
    nameable = [shape for shape in objects if _is_unique(shape.words, objects)]
    if len(nameable) < MIN_OBJECTS:
        return ()
    orders = list(permutations(nameable, min(len(nameable), _MAX_OBJECTS)))
    rng.shuffle(orders)
    return tuple(_make_sentence(orders[i % len(orders)], objects, rng) for i in range(SENTENCES_PER_IMAGE))


def relation(first: np.ndarray, second: np.ndarray) -> tuple[str, ...]:
    """Return the words for where the first box (4,) lies, seen from the second, by the greater distance of centers."""
    across, down = (first[:2] + first[2:] - second[:2] - second[2:]).tolist()
    if abs(across) >= abs(down):
        return ("left", "of") if across < 0 else ("right", "of")
    return ("above",) if down < 0 else ("below",)


def _make_sentence(named: Sequence[ShapeWords], objects: Sequence[ShapeWords], rng: np.random.Generator) -> Sentence:
    """Return a sentence that says where the first of ``named`` is, seen from each of the others."""
    tokens: list[str] = list(_OPENINGS[int(rng.integers(len(_OPENINGS)))])
    mentions = []
    for position, shape in enumerate(named):
        if position:
            tokens += (*(("and",) if position > 1 else ()), *relation(named[0].box, shape.box))
        phrase = _make_phrase(shape, objects, rng)
        tokens.append("a")
        words = tuple(range(len(tokens), len(tokens) + len(phrase)))
        tokens += phrase
        mentions.append(Mention(words=words, boxes=shape.box[None]))
    return Sentence(text=" ".join(tokens), tokens=tuple(tokens), mentions=tuple(mentions))


def _make_phrase(shape: ShapeWords, objects: Sequence[ShapeWords], rng: np.random.Generator) -> tuple[str, ...]:
    """Return words that fit this object alone, at times without its size or its color."""
    phrase = shape.words
    for word, omitted in zip((shape.size, shape.color), rng.random(2) < _OMITTED, strict=True):
        shorter = tuple(other for other in phrase if other != word)
        if omitted and _is_unique(shorter, objects):
            phrase = shorter
    return phrase


def _is_unique(phrase: Sequence[str], objects: Sequence[ShapeWords]) -> bool:
    return sum(shape.fits(phrase) for shape in objects) == 1
