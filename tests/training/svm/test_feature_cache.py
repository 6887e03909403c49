"""Features on disk: what is complete is kept whatever cuts the run, and nothing else is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from detect.errors import RunError, UserError
from detect.training.svm.feature_cache import FeatureCache, bytes_needed, require_disk_space

LENGTH = 6
COUNTS = {7: 3, 2**64 - 1: 0, 5: 2, 9: 4}


def features(image: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(image % 1000)
    return torch.randn(COUNTS[image], LENGTH, generator=generator)


def fill(folder: Path, images: list[int] | None = None) -> None:
    with FeatureCache(folder, "a model", LENGTH) as cache:
        for image in COUNTS if images is None else images:
            cache.add(image, features(image))


def cached_images(folder: Path) -> list[int]:
    """The images of the cache, each with the numbers that were put there."""
    with FeatureCache(folder, "a model", LENGTH) as cache:
        images = [image for image in COUNTS if image in cache]
        assert len(cache) == len(images)
        for image in images:
            assert np.array_equal(cache.read(image), features(image).half().numpy())
    return images


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


@pytest.mark.parametrize("images", [[], [7], [2**64 - 1], [7, 2**64 - 1, 5, 9]])
def test_added_features_are_read_unchanged(images: list[int], tmp_path: Path) -> None:
    fill(tmp_path / "new", images)
    assert cached_images(tmp_path / "new") == images
    fill(tmp_path / "new", [image for image in COUNTS if image not in images])
    assert cached_images(tmp_path / "new") == list(COUNTS)


def test_features_are_readable_while_others_are_added(tmp_path: Path) -> None:
    with FeatureCache(tmp_path, "a model", LENGTH) as cache:
        for image in COUNTS:
            cache.add(image, features(image))
            assert np.array_equal(cache.read(image), features(image).half().numpy())


def test_for_images_keeps_the_requested_order(tmp_path: Path) -> None:
    fill(tmp_path)
    with FeatureCache(tmp_path, "a model", LENGTH) as cache:
        ordered = cache.for_images([9, 2**64 - 1, 7])
        assert [len(ordered[place]) for place in range(len(ordered))] == [4, 0, 3]
        assert len(cache.for_images([])) == 0
        with pytest.raises(RunError, match=r"damaged: 1 of 2 images have no features.*stages.json.*--resume"):
            cache.for_images([1, 9])


def test_bytes_needed_equals_the_size_on_disk(tmp_path: Path) -> None:
    fill(tmp_path)
    header = len((tmp_path / "index").read_bytes().partition(b"\n")[0]) + 1
    assert size(tmp_path) - header == bytes_needed(len(COUNTS), sum(COUNTS.values()), LENGTH)


@pytest.mark.parametrize("name", ["index", "features"])
def test_truncated_file_loses_only_the_cut_images(name: str, tmp_path: Path) -> None:
    fill(tmp_path / "whole")
    complete = {}
    length = (tmp_path / "whole" / name).stat().st_size
    for cut in range(length, -1, -1):
        folder = tmp_path / f"{cut}"
        shutil.copytree(tmp_path / "whole", folder)
        with (folder / name).open("ab") as stream:
            stream.truncate(cut)
        remaining = cached_images(folder)
        assert remaining == list(COUNTS)[: len(remaining)]
        complete[cut] = len(remaining)
        fill(folder, list(COUNTS)[len(remaining) :])
        assert cached_images(folder) == list(COUNTS)
        assert size(folder) == size(tmp_path / "whole")
    assert complete[length] == len(COUNTS)
    assert complete[length - 1] == len(COUNTS) - 1
    assert list(complete.values()) == sorted(complete.values(), reverse=True)


def test_damaged_entry_ends_the_valid_index(tmp_path: Path) -> None:
    fill(tmp_path)
    content = bytearray((tmp_path / "index").read_bytes())
    content[-28 - 10] ^= 1  # in the last but one
    (tmp_path / "index").write_bytes(content)
    assert cached_images(tmp_path) == list(COUNTS)[:2]


@pytest.mark.parametrize("bit", range(8))
def test_flipped_bit_in_the_features_is_refused(
    bit: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    fill(tmp_path)
    content = (tmp_path / "features").read_bytes()
    for index in range(len(content)):
        damaged = bytearray(content)
        damaged[index] ^= 1 << bit
        (tmp_path / "features").write_bytes(damaged)
        with pytest.raises(RunError, match="do not match their checksum"):
            cached_images(tmp_path)
    record_property("flipped bits", len(content))


def test_features_without_an_entry_are_truncated(tmp_path: Path) -> None:
    fill(tmp_path, [7, 5])
    with (tmp_path / "features").open("ab") as stream:
        stream.write(b"half an image")
    fill(tmp_path, [9])
    assert cached_images(tmp_path) == [7, 5, 9]


@pytest.mark.parametrize(
    ("settings", "length", "found"), [("another", LENGTH, r"a model \(6 numbers\)"), ("a model", 5, r"\(6 numbers\)")]
)
def test_features_of_other_settings_are_refused(settings: str, length: int, found: str, tmp_path: Path) -> None:
    fill(tmp_path)
    with pytest.raises(UserError, match=rf"expected features of {settings} \({length} numbers\), found .*{found}"):
        FeatureCache(tmp_path, settings, length)
    assert cached_images(tmp_path) == list(COUNTS)


def test_features_of_another_version_are_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    index = tmp_path / "index"
    index.write_bytes(index.read_bytes().replace(b'"version": 2', b'"version": 1'))
    with pytest.raises(UserError, match="found version 1, not 2"):
        FeatureCache(tmp_path, "a model", LENGTH)


def test_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(b"a book\n")
    with pytest.raises(UserError, match="found something else"):
        FeatureCache(tmp_path, "a model", LENGTH)


@pytest.mark.parametrize("number", [1e5, float("nan"), float("inf")])
def test_add_number_above_fp16_range_is_refused(number: float, tmp_path: Path) -> None:
    with FeatureCache(tmp_path, "a model", LENGTH) as cache:
        with pytest.raises(RunError, match="at most 65504 for fp16"):
            cache.add(7, torch.full((3, LENGTH), number))
        cache.add(7, features(7))
    assert cached_images(tmp_path) == [7]


@pytest.mark.parametrize(("image", "width"), [(7, LENGTH), (5, LENGTH + 1)])
def test_add_twice_or_with_another_length_is_refused(image: int, width: int, tmp_path: Path) -> None:
    fill(tmp_path, [7])
    with FeatureCache(tmp_path, "a model", LENGTH) as cache, pytest.raises(ValueError, match="expected a new image"):
        cache.add(image, torch.zeros(1, width))


@pytest.mark.parametrize(("needed", "limit"), [(0, 0), (10**6, 10**6)])
def test_require_disk_space_with_enough_passes(needed: int, limit: int, tmp_path: Path) -> None:
    require_disk_space(tmp_path / "not" / "there", needed, limit)
    assert list(tmp_path.iterdir()) == []


def test_require_disk_space_with_too_little_is_one_line(tmp_path: Path) -> None:
    needed = bytes_needed(5011, 5011 * 2000, 4096)
    with pytest.raises(
        UserError, match=r"train.feature_cache_gb: expected at least 82.10 GB .* found 20.00 GB"
    ) as error:
        require_disk_space(tmp_path, needed, 20 * 10**9)
    assert "\n" not in str(error.value)
    with pytest.raises(RunError, match="GB of free disk, found"):
        require_disk_space(tmp_path, 10**18, 10**19)
