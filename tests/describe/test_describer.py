from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detect.describe.alignment_picture import draw_alignment
from detect.describe.describer import Alignment, Describer, describe_unknown, load_describer, require_words
from detect.describe.regions import RegionFeatures
from detect.draw import class_color
from detect.errors import UserError


@pytest.fixture(scope="module")
def describer(tiny_describe: Path) -> Describer:
    return load_describer(tiny_describe)


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)


def test_align_gives_each_word_the_region_of_the_chain(describer: Describer, photo: np.ndarray) -> None:
    tokens = ("a", "red", "zebra", "disc")
    alignment = describer.align(photo, tokens)
    scores = describer.model.word_scores(alignment.regions.features, tokens)
    assert alignment.assigned.tolist() == describer.model.assign(scores).tolist()
    assert alignment.scores.tolist() == [scores[t, region] for t, region in enumerate(alignment.assigned)]
    assert alignment.known.tolist() == [True, True, False, True]
    assert alignment.photo_score == pytest.approx(float(scores.max(axis=1).sum()), rel=1e-5)
    record = alignment.to_dict(describer.classes)
    for word, region in zip(record["words"], alignment.assigned, strict=True):
        assert (word["box"] is None) == (region == len(alignment.regions) - 1)


def test_photo_without_detections_is_the_region_of_every_word(tiny_describe: Path, photo: np.ndarray) -> None:
    describer = load_describer(tiny_describe, ["features.score=1"])
    alignment = describer.align(photo, ("a", "disc"))
    assert alignment.assigned.tolist() == [0, 0]
    assert [word["box"] for word in alignment.to_dict(describer.classes)["words"]] == [None, None]
    assert describer.match(photo, ("a", "disc")).label == 0
    assert len(describer.caption(photo, with_regions=True)) == 1


def test_match_names_the_region_with_the_largest_sum_of_words(describer: Describer, photo: np.ndarray) -> None:
    tokens = ("a", "red", "ring")
    match = describer.match(photo, tokens)
    regions = describer.regions(photo)
    sums = [
        sum(describer.model.word_scores(regions.features, tokens)[t, region] for t in range(3))
        for region in range(len(regions))
    ]
    best = int(np.argmax(sums))
    assert match.box.tolist() == regions.boxes[best].tolist()
    assert match.region_score == pytest.approx(sums[best], rel=1e-5)


def test_captions_are_those_of_the_photo_and_then_of_each_region(describer: Describer, photo: np.ndarray) -> None:
    captions = describer.caption(photo, with_regions=True)
    regions = describer.regions(photo)
    assert [caption.label for caption in captions] == [0, *regions.labels[:-1].tolist()]
    words, log_probability = describer.model.describe(regions.whole_photo)
    assert (captions[0].words, captions[0].log_probability) == (words, log_probability)
    assert captions[0].mean_log_probability == log_probability / (len(words) + 1)
    assert [caption.label for caption in describer.caption(photo)] == [0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r'QUERY: expected a sentence with words, found ""'),
        (" ?! ", "expected a sentence with words"),
        ("zebra stripe", r"expected a word among the 10 that the model knows.*did you mean \"striped\""),
    ],
)
def test_sentences_without_a_known_word_are_refused_in_one_line(describer: Describer, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        require_words(text, describer.model.vocabulary, "QUERY")
    assert "\n" not in str(error.value)


def test_unknown_words_beside_known_ones_are_named(describer: Describer) -> None:
    vocabulary = describer.model.vocabulary
    assert require_words("A red zebra!", vocabulary, "QUERY") == ("a", "red", "zebra")
    assert describe_unknown(("a", "red"), vocabulary) == []
    assert describe_unknown(("a", "zebra", "okapi", "zebra"), vocabulary)[0].endswith(": zebra, okapi")


@pytest.mark.parametrize("override", ["alignment.dim=13", "words.dim=9"])
def test_settings_of_other_networks_are_refused(tiny_describe: Path, override: str) -> None:
    with pytest.raises(UserError, match=rf"expected {override.split('.')[0]}\.\* as"):
        load_describer(tiny_describe, [override])


def test_features_of_another_length_are_refused(tiny_describe: Path, photo: np.ndarray) -> None:
    describer = load_describer(tiny_describe, ["features.geometry=true"])
    with pytest.raises(UserError, match="expected features of 16 numbers, on which the model was trained, found 21"):
        describer.align(photo, ("a",))


def test_picture_has_the_words_below_in_the_colors_of_their_boxes(photo: np.ndarray) -> None:
    regions = RegionFeatures(
        boxes=np.array([[10, 10, 50, 60], [0, 0, 120, 90]], np.float32),
        features=np.zeros((2, 3), np.float32),
        labels=np.array([2, 0]),
        scores=np.array([0.9, 0], np.float32),
    )
    alignment = Alignment(
        tokens=("a", "disc"),
        known=np.array([True, False]),
        regions=regions,
        assigned=np.array([1, 0]),
        scores=np.zeros(2),
        photo_score=0.0,
    )
    picture = draw_alignment(photo, alignment)
    height = 3 * 90  # enlarged to 320 pixels or more
    assert picture.shape[1] == 3 * 120
    colors = {tuple(color) for color in picture[height:].reshape(-1, 3).tolist()}
    assert {class_color(1), class_color(0)} <= colors  # the disc's, and gray for the word of the whole photo
    alone = replace(alignment, assigned=np.array([1, 1]))
    colors = {tuple(color) for color in draw_alignment(photo, alone)[height:].reshape(-1, 3).tolist()}
    assert class_color(1) not in colors
