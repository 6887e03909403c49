"""Features on disk: what is complete is kept whatever cuts the run, and nothing else is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from detect.errors import UserError, WorkError
from detect.training.svm.feature_cache import FeatureCache, bytes_needed, require_room

LENGTH = 6
COUNTS = {7: 3, 2**64 - 1: 0, 5: 2, 9: 4}


def features(image: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(image % 1000)
    return torch.randn(COUNTS[image], LENGTH, generator=generator)


def fill(folder: Path, images: list[int] | None = None) -> None:
    with FeatureCache(folder, "a model", LENGTH) as cache:
        for image in COUNTS if images is None else images:
            cache.add(image, features(image))


def holds(folder: Path) -> list[int]:
    """The images of the cache, each with the numbers that were put there."""
    with FeatureCache(folder, "a model", LENGTH) as cache:
        found = [image for image in COUNTS if image in cache]
        assert len(cache) == len(found)
        for image in found:
            assert np.array_equal(cache.read(image), features(image).half().numpy())
    return found


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


@pytest.mark.parametrize("photos", [[], [7], [2**64 - 1], [7, 2**64 - 1, 5, 9]])
def test_what_is_put_in_is_found_again(images: list[int], tmp_path: Path) -> None:
    fill(tmp_path / "new", images)
    assert holds(tmp_path / "new") == images
    fill(tmp_path / "new", [image for image in COUNTS if image not in images])
    assert holds(tmp_path / "new") == list(COUNTS)


def test_a_image_is_found_while_others_are_put_in(tmp_path: Path) -> None:
    with FeatureCache(tmp_path, "a model", LENGTH) as cache:
        for image in COUNTS:
            cache.add(image, features(image))
            assert np.array_equal(cache.read(image), features(image).half().numpy())


def test_images_are_read_in_the_order_asked_for(tmp_path: Path) -> None:
    fill(tmp_path)
    with FeatureCache(tmp_path, "a model", LENGTH) as cache:
        ordered = cache.ordered([9, 2**64 - 1, 7])
        assert [len(ordered[place]) for place in range(len(ordered))] == [4, 0, 3]
        assert len(cache.ordered([])) == 0
        with pytest.raises(WorkError, match=r"damaged: 1 of 2 images have no features.*stages.json.*--resume"):
            cache.ordered([1, 9])


def test_the_size_is_known_before(tmp_path: Path) -> None:
    fill(tmp_path)
    header = len((tmp_path / "index").read_bytes().partition(b"\n")[0]) + 1
    assert size(tmp_path) - header == bytes_needed(len(COUNTS), sum(COUNTS.values()), LENGTH)


@pytest.mark.parametrize("name", ["index", "features"])
def test_a_file_cut_anywhere_loses_only_what_was_cut(name: str, tmp_path: Path) -> None:
    fill(tmp_path / "whole")
    complete = {}
    length = (tmp_path / "whole" / name).stat().st_size
    for cut in range(length, -1, -1):
        folder = tmp_path / f"{cut}"
        shutil.copytree(tmp_path / "whole", folder)
        with (folder / name).open("ab") as stream:
            stream.truncate(cut)
        kept = holds(folder)
        assert kept == list(COUNTS)[: len(kept)]
        complete[cut] = len(kept)
        fill(folder, list(COUNTS)[len(kept) :])
        assert holds(folder) == list(COUNTS)
        assert size(folder) == size(tmp_path / "whole")
    assert complete[length] == len(COUNTS)
    assert complete[length - 1] == len(COUNTS) - 1
    assert list(complete.values()) == sorted(complete.values(), reverse=True)


def test_a_damaged_entry_ends_what_is_believed(tmp_path: Path) -> None:
    fill(tmp_path)
    content = bytearray((tmp_path / "index").read_bytes())
    content[-28 - 10] ^= 1  # in the last but one
    (tmp_path / "index").write_bytes(content)
    assert holds(tmp_path) == list(COUNTS)[:2]


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_in_the_numbers_is_never_read(
    bit: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    fill(tmp_path)
    content = (tmp_path / "features").read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        (tmp_path / "features").write_bytes(damaged)
        with pytest.raises(WorkError, match="do not match their checksum"):
            holds(tmp_path)
    record_property("flipped bits", len(content))


def test_numbers_without_an_entry_are_cut_off(tmp_path: Path) -> None:
    fill(tmp_path, [7, 5])
    with (tmp_path / "features").open("ab") as stream:
        stream.write(b"half an image")
    fill(tmp_path, [9])
    assert holds(tmp_path) == [7, 5, 9]


@pytest.mark.parametrize(
    ("settings", "length", "found"), [("another", LENGTH, r"a model \(6 numbers\)"), ("a model", 5, r"\(6 numbers\)")]
)
def test_features_of_other_settings_are_refused(settings: str, length: int, found: str, tmp_path: Path) -> None:
    fill(tmp_path)
    with pytest.raises(UserError, match=rf"expected features of {settings} \({length} numbers\), found .*{found}"):
        FeatureCache(tmp_path, settings, length)
    assert holds(tmp_path) == list(COUNTS)


def test_features_of_another_version_are_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    index = tmp_path / "index"
    index.write_bytes(index.read_bytes().replace(b'"version": 2', b'"version": 1'))
    with pytest.raises(UserError, match="found version 1, not 2"):
        FeatureCache(tmp_path, "a model", LENGTH)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(b"a book\n")
    with pytest.raises(UserError, match="found something else"):
        FeatureCache(tmp_path, "a model", LENGTH)


@pytest.mark.parametrize("number", [1e5, float("nan"), float("inf")])
def test_a_number_that_fp16_does_not_hold_is_refused(number: float, tmp_path: Path) -> None:
    with FeatureCache(tmp_path, "a model", LENGTH) as cache:
        with pytest.raises(WorkError, match="at most 65504 for fp16"):
            cache.add(7, torch.full((3, LENGTH), number))
        cache.add(7, features(7))
    assert holds(tmp_path) == [7]


@pytest.mark.parametrize(("photo", "width"), [(7, LENGTH), (5, LENGTH + 1)])
def test_a_image_comes_once_with_features_of_the_length(image: int, width: int, tmp_path: Path) -> None:
    fill(tmp_path, [7])
    with FeatureCache(tmp_path, "a model", LENGTH) as cache, pytest.raises(ValueError, match="expected a new image"):
        cache.add(image, torch.zeros(1, width))


@pytest.mark.parametrize(("needed", "limit"), [(0, 0), (10**6, 10**6)])
def test_room_enough_is_no_error(needed: int, limit: int, tmp_path: Path) -> None:
    require_room(tmp_path / "not" / "there", needed, limit)
    assert list(tmp_path.iterdir()) == []


def test_too_little_room_is_one_line(tmp_path: Path) -> None:
    needed = bytes_needed(5011, 5011 * 2000, 4096)
    with pytest.raises(UserError, match=r"train.cache_limit: expected at least 82.10 GB .* found 20.00 GB") as error:
        require_room(tmp_path, needed, 20 * 10**9)
    assert "\n" not in str(error.value)
    with pytest.raises(WorkError, match="GB of free disk, found"):
        require_room(tmp_path, 10**18, 10**19)
