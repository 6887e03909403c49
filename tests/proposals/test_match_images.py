"""Matching of images to the entries of a proposal file, by bytes or by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from detect.config.builders.data import load_split, read_image_files
from detect.errors import UserError
from detect.proposals.files import ProposalFile, content_hash, pack_proposals
from detect.proposals.match_images import match_images, match_images_in_files
from detect.types import Proposals
from tests.conftest import TINY
from tests.proposals.fake_search import write_random_images

FILE = Path("p.npz")
NO_PROPOSALS = Proposals(torch.zeros(0, 4), torch.zeros(0))


def proposal_file(**contents: int) -> ProposalFile:
    """A file of names with content hashes; ``__`` stands for a slash, ``_`` for the dot before a suffix."""
    names = {name.replace("__", "/").replace("_", "."): content for name, content in contents.items()}
    return pack_proposals([(name, content, NO_PROPOSALS) for name, content in names.items()])


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return write_random_images(tmp_path, ["train/000005.png", "val/000005.png", "val/000007.png"])


def hashes_of(images: list[Path]) -> list[int]:
    return [content_hash(image.read_bytes()) for image in images]


def test_match_images_without_images_is_empty() -> None:
    assert match_images(FILE, proposal_file(), []) == []
    assert match_images(FILE, proposal_file(a_jpg=0), []) == []


def test_match_images_by_bytes_ignores_names(images: list[Path]) -> None:
    a, b, c = hashes_of(images)
    assert match_images(FILE, proposal_file(x=c, y=9, z=a, w=b), images) == [2, 3, 0]
    assert match_images(FILE, proposal_file(val__000005_png=a, train__000005_png=b), images) == [0, 1, None]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"x000005": 0, "x": 0, "000007": 0}, [None, None, 2]),
        ({"train__000005_png": 0, "val__000005_png": 0}, [0, 1, None]),
        ({"sets__train__000005_jpg": 0, "sets__val__000005_jpg": 0, "sets__val__000007_jpg": 0}, [0, 1, 2]),
    ],
)
def test_match_images_without_hashes_matches_by_name(
    names: dict[str, int], expected: list[int | None], images: list[Path]
) -> None:
    assert match_images(FILE, proposal_file(**names), images) == expected


def test_match_images_with_other_bytes_of_a_matched_name_is_none(images: list[Path]) -> None:
    """A file of val alone has bare names; 000005 of train is another image, not a changed one."""
    _, b, c = hashes_of(images)
    assert match_images(FILE, proposal_file(**{"000005_png": b, "000007_png": c}), images) == [None, 0, 1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({}, r"p\.npz: expected proposals of images such as /.*/train/000005\.png, found none at all"),
        ({"a_jpg": 0, "b_jpg": 0}, r"such as /.*/train/000005\.png, found such as a\.jpg"),
        ({"000007_png": 5}, r"p\.npz: stale: 000007\.png has changed"),
        ({"000005": 0}, r"000005: expected the name of one image, found two that match: .*train/.*, .*val/"),
    ],
)
def test_match_images_with_invalid_entries_raises_user_error(
    names: dict[str, int], message: str, images: list[Path]
) -> None:
    with pytest.raises(UserError, match=message):
        match_images(FILE, proposal_file(**names), images)


def test_match_images_in_files_tells_which_file_has_an_image(images: list[Path]) -> None:
    a, b, c = hashes_of(images)
    npz, mat = Path("a.npz"), Path("b.mat")
    by_bytes, by_names = proposal_file(train__000005_png=a), proposal_file(x=9, val__000005_png=b)
    assert match_images_in_files({npz: by_bytes, mat: by_names}, []) == []
    assert match_images_in_files({npz: by_bytes, mat: by_names}, images) == [(0, 0), (1, 1), None]
    assert match_images_in_files({mat: proposal_file(x=9), npz: by_bytes}, images) == [(1, 0), None, None]
    # Another image of the same name in a file with hashes is none of these, in either order.
    named = proposal_file(**{"val__000005": 0, "val__000007": 0})
    assert match_images_in_files({npz: proposal_file(**{"000005_png": a}), mat: named}, images) == [
        (0, 0),
        (1, 0),
        (1, 1),
    ]
    assert match_images_in_files({npz: proposal_file(**{"000007_png": 5}), mat: named}, images[1:]) == [(1, 0), (1, 1)]
    assert match_images_in_files(
        {mat: named, npz: proposal_file(z=c, **{"000005_png": a})}, [images[0], images[1]]
    ) == [
        (1, 1),
        (0, 0),
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"x": 1}, {"y": 1}),
        ({"x": 1}, {"000007": 0}),
        ({"000007": 0}, {"x": 1}),
        ({"000007": 0}, {"val__000007_png": 0}),
    ],
)
def test_match_images_in_files_refuses_an_image_in_two(
    first: dict[str, int], second: dict[str, int], images: list[Path]
) -> None:
    (image_hash,) = hashes_of(images[2:])
    files = {
        path: proposal_file(**{name: content and image_hash for name, content in names.items()})
        for path, names in ((Path("a.npz"), first), (Path("b.mat"), second))
    }
    message = (
        r"/val/000007\.png: expected its proposals in one file, found them in (a\.npz and b\.mat|b\.mat and a\.npz)$"
    )
    with pytest.raises(UserError, match=message):
        match_images_in_files(files, images[2:])


def test_match_images_in_files_without_any_image_names_the_files(images: list[Path]) -> None:
    message = r"^a\.npz, b\.npz: expected proposals of images such as /.*/train/000005\.png, found such as z$"
    with pytest.raises(UserError, match=message):
        match_images_in_files({Path("a.npz"): proposal_file(), Path("b.npz"): proposal_file(z=5)}, images)


def test_match_images_of_a_missing_image_is_none(images: list[Path], tmp_path: Path) -> None:
    a, *_ = hashes_of(images)
    assert match_images(FILE, proposal_file(x=a, gone_png=7), [images[0], tmp_path / "gone.png"]) == [0, None]


def test_match_images_with_some_unmatched_images_returns_none_for_them(tmp_path: Path) -> None:
    images = write_random_images(tmp_path, [f"{i}.png" for i in range(50)])
    indices = match_images(FILE, pack_proposals([(f"{i}.png", 0, NO_PROPOSALS) for i in range(49, 70)]), images)
    assert indices == [None] * 49 + [0]


@pytest.mark.parametrize(("val", "counts"), [("val", (12, 4)), (0.25, None)])
def test_split_images_of_two_splits_lists_each_image_once(
    val: str | float, counts: tuple[int, int] | None, shapes_root: Path
) -> None:
    from detect.config.files import parse_config, with_overrides

    config = with_overrides(
        parse_config(TINY, "tiny"), [f"data.root={shapes_root}", "data.repeat_factor_threshold=0.9"]
    )
    folder = Path(load_split(config, "train").file(0)).parents[1]
    if counts is None:
        overrides = ["data.format=coco", f"data.root={folder}", "data.train=train.json", f"data.val={val}"]
        overrides.append(f"data.images={folder / 'train'}")
        config = with_overrides(config, overrides)
    train, both = read_image_files(config, ["train"])[0], read_image_files(config, ["train", "val"])[0]
    assert len(both) == len(set(both)) == (16 if counts else 12)
    assert set(train) < set(both)
    assert read_image_files(config, ["val"])[0] == [image for image in both if image not in train]
    assert counts is None or len(train) == counts[0]


def test_annotated_split_of_val_needs_no_train_file(shapes_root: Path) -> None:
    from detect.config.files import parse_config, with_overrides

    config = with_overrides(parse_config(TINY, "tiny"), [f"data.root={shapes_root}"])
    folder = Path(load_split(config, "val").file(0)).parents[1]
    alone = [
        "data.format=coco",
        f"data.root={folder}",
        "data.train=no.json",
        "data.val=val.json",
        f"data.images={folder / 'val'}",
    ]
    dataset = load_split(with_overrides(config, alone), "val")
    assert len(dataset) == 4
    assert np.array_equal(dataset.labels, load_split(config, "val").labels)
    with pytest.raises(UserError, match=r"no\.json"):
        load_split(with_overrides(config, alone), "train")
