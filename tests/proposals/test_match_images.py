"""Where the proposals of an image are in a file, by bytes or by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from detect.config.builders.data import annotated_split, split_images
from detect.errors import UserError
from detect.proposals.files import ProposalFile, content_key, pack_proposals
from detect.proposals.match_images import places_of
from detect.types import Proposals
from tests.conftest import TINY
from tests.proposals.fakes import photograph

FILE = Path("p.npz")
NOTHING = Proposals(torch.zeros(0, 4), torch.zeros(0))


def entries(**contents: int) -> ProposalFile:
    """A file of these names, with the images' keys; ``__`` stands for a slash, ``_`` for the point before a suffix."""
    names = {name.replace("__", "/").replace("_", "."): content for name, content in contents.items()}
    return pack_proposals([(name, content, NOTHING) for name, content in names.items()])


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return photograph(tmp_path, ["train/000005.png", "val/000005.png", "val/000007.png"])


def keys(images: list[Path]) -> list[int]:
    return [content_key(image.read_bytes()) for image in images]


def test_no_images_have_no_places() -> None:
    assert places_of(FILE, entries(), []) == []
    assert places_of(FILE, entries(a_jpg=0), []) == []


def test_images_are_found_by_their_bytes_whatever_they_are_called(images: list[Path]) -> None:
    a, b, c = keys(images)
    assert places_of(FILE, entries(x=c, y=9, z=a, w=b), images) == [2, 3, 0]
    assert places_of(FILE, entries(val__000005_png=a, train__000005_png=b), images) == [0, 1, None]


@pytest.mark.parametrize(
    ("names", "places"),
    [
        ({"x000005": 0, "x": 0, "000007": 0}, [None, None, 2]),
        ({"train__000005_png": 0, "val__000005_png": 0}, [0, 1, None]),
        ({"sets__train__000005_jpg": 0, "sets__val__000005_jpg": 0, "sets__val__000007_jpg": 0}, [0, 1, 2]),
    ],
)
def test_without_keys_images_are_found_by_name(
    names: dict[str, int], places: list[int | None], images: list[Path]
) -> None:
    assert places_of(FILE, entries(**names), images) == places


def test_another_image_of_a_name_that_is_taken_has_no_entry(images: list[Path]) -> None:
    """A file of val alone has bare names; 000005 of train is no changed image."""
    _, b, c = keys(images)
    assert places_of(FILE, entries(**{"000005_png": b, "000007_png": c}), images) == [None, 0, 1]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({}, r"p\.npz: expected proposals of images such as /.*/train/000005\.png, found none at all"),
        ({"a_jpg": 0, "b_jpg": 0}, r"such as /.*/train/000005\.png, found such as a\.jpg"),
        ({"000007_png": 5}, r"p\.npz: stale: 000007\.png has changed"),
        ({"000005": 0}, r"000005: expected the name of one image, found two that fit: .*train/.*, .*val/"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(names: dict[str, int], words: str, images: list[Path]) -> None:
    with pytest.raises(UserError, match=words):
        places_of(FILE, entries(**names), images)


def test_a_image_that_cannot_be_opened_has_none(images: list[Path], tmp_path: Path) -> None:
    a, *_ = keys(images)
    assert places_of(FILE, entries(x=a, gone_png=7), [images[0], tmp_path / "gone.png"]) == [0, None]


def test_a_image_that_is_not_there_is_no_error_where_others_are(tmp_path: Path) -> None:
    images = photograph(tmp_path, [f"{number}.png" for number in range(50)])
    found = places_of(FILE, pack_proposals([(f"{number}.png", 0, NOTHING) for number in range(49, 70)]), images)
    assert found == [None] * 49 + [0]


@pytest.mark.parametrize(("val", "counts"), [("val", (12, 4)), (0.25, None)])
def test_the_images_of_a_data_set(val: str | float, counts: tuple[int, int] | None, shapes_root: Path) -> None:
    from detect.config.files import changed, parse

    config = changed(parse(TINY, "tiny"), [f"data.root={shapes_root}", "data.rare=0.9"])
    folder = Path(annotated_split(config, "train").file(0)).parents[1]
    if counts is None:
        overrides = ["data.format=coco", f"data.root={folder}", "data.train=train.json", f"data.val={val}"]
        overrides.append(f"data.images={folder / 'train'}")
        config = changed(config, overrides)
    train, both = split_images(config, ["train"]), split_images(config, ["train", "val"])
    assert len(both) == len(set(both)) == (16 if counts else 12)
    assert set(train) < set(both)
    assert split_images(config, ["val"]) == [image for image in both if image not in train]
    assert counts is None or len(train) == counts[0]


def test_one_list_needs_no_other(shapes_root: Path) -> None:
    from detect.config.files import changed, parse

    config = changed(parse(TINY, "tiny"), [f"data.root={shapes_root}"])
    folder = Path(annotated_split(config, "val").file(0)).parents[1]
    alone = [
        "data.format=coco",
        f"data.root={folder}",
        "data.train=no.json",
        "data.val=val.json",
        f"data.images={folder / 'val'}",
    ]
    found = annotated_split(changed(config, alone), "val")
    assert len(found) == 4
    assert np.array_equal(found.labels, annotated_split(config, "val").labels)
    with pytest.raises(UserError, match=r"no\.json"):
        annotated_split(changed(config, alone), "train")
