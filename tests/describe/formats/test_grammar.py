from __future__ import annotations

import numpy as np
import pytest

from detect.data.shapes.scene import draw_scene
from detect.data.shapes.sprite import CLASSES
from detect.describe.formats.grammar import (
    SENTENCES_PER_IMAGE,
    ShapeWords,
    color_name,
    describe_objects,
    make_sentences,
    names_class,
    relation,
)


def shape(kind: str, x: float, y: float, size: str = "", color: str = "red", texture: str = "") -> ShapeWords:
    return ShapeWords(
        kind=kind, size=size, color=color, texture=texture, box=np.array([x, y, x + 10, y + 10], np.float32)
    )


@pytest.mark.parametrize(
    "objects",
    [
        [],
        [shape("disc", 0, 0)],
        [shape("disc", 0, 0), shape("disc", 50, 0)],  # both are "red disc"
    ],
)
def test_no_sentence_where_fewer_than_two_objects_have_a_phrase_of_their_own(objects: list[ShapeWords]) -> None:
    assert make_sentences(objects, np.random.default_rng(0)) == ()


def test_every_phrase_of_the_built_in_images_fits_the_object_that_it_means_and_no_other() -> None:
    num_mentions = 0
    for index in range(12):
        objects = describe_objects(draw_scene(0, "val", index))
        for sentence in make_sentences(objects, np.random.default_rng(index)):
            assert sentence.text.split() == list(sentence.tokens)
            assert len(sentence.mentions) in (2, 3)
            for mention in sentence.mentions:
                phrase = [sentence.tokens[word] for word in mention.words]
                fitting = [other for other in objects if other.fits(phrase)]
                assert [other.box.tolist() for other in fitting] == mention.boxes.tolist()
                num_mentions += 1
    assert num_mentions > 60


def test_relations_of_a_sentence_are_true() -> None:
    objects = [shape("disc", 0, 0), shape("ring", 50, 5), shape("square", 5, 80)]
    boxes = {other.kind: other.box for other in objects}
    sentences = make_sentences(objects, np.random.default_rng(3))
    assert len(sentences) == SENTENCES_PER_IMAGE
    for sentence in sentences:
        first, *others = sentence.mentions
        for other in others:
            words = sentence.tokens[: other.words[0] - 1]  # without the article
            expected = relation(boxes[sentence.tokens[first.words[-1]]], boxes[sentence.tokens[other.words[-1]]])
            assert words[-len(expected) :] == expected


@pytest.mark.parametrize(
    ("second", "words"),
    [((30, 5), ("left", "of")), ((-30, 5), ("right", "of")), ((5, 30), ("above",)), ((5, -30), ("below",))],
)
def test_relation_is_where_the_first_box_lies_seen_from_the_second(
    second: tuple[int, int], words: tuple[str, ...]
) -> None:
    assert relation(shape("disc", 0, 0).box, shape("ring", *second).box) == words


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((120, 120, 120), "gray"),
        ((120, 100, 90), "gray"),
        ((200, 50, 50), "red"),
        ((200, 50, 80), "red"),
        ((200, 200, 50), "yellow"),
        ((50, 200, 50), "green"),
        ((50, 200, 200), "cyan"),
        ((50, 50, 200), "blue"),
        ((200, 50, 200), "pink"),
    ],
)
def test_color_name(rgb: tuple[int, int, int], name: str) -> None:
    assert color_name(np.array(rgb, np.float32)) == name


def test_colors_of_a_scene_are_those_of_its_pixels() -> None:
    scene = draw_scene(0, "val", 3)
    covered = np.zeros(scene.rgb.shape[:2], bool)
    for mask, color in reversed(list(zip(scene.masks, scene.colors, strict=True))):
        visible = mask & ~covered
        assert np.abs(scene.rgb[visible].mean(axis=0) - color).max() < 8  # borders and shading
        covered |= mask


@pytest.mark.parametrize(
    ("words", "name", "expected"),
    [
        ((), "disc", False),
        (("a", "red", "disc"), "disc", True),
        (("a", "red", "disc"), "striped_disc", False),
        (("a", "striped", "disc"), "striped_disc", True),
        (("a", "striped", "disc"), "disc", False),
        (("a", "disc", "and", "a", "ring"), "disc", False),
    ],
)
def test_names_class(words: tuple[str, ...], name: str, expected: bool) -> None:
    assert name in CLASSES
    assert names_class(words, name) is expected
