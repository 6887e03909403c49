from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from detect.config.builders.data import training_data
from detect.config.files import parse
from detect.data import near_duplicates_cache as likeness_cache
from detect.data.images import read_reduced_grey
from detect.data.near_duplicates import Likeness, likeness
from detect.data.near_duplicates_cache import cache_file, image_likenesses
from tests.data.folders import write_image
from tests.data.test_near_duplicates import recompressed, scene


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """The third is damaged."""
    files = [write_image(tmp_path / f"{seed}.png", seed=seed) for seed in range(4)]
    files[2].write_bytes(b"nothing")
    return files


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that are read."""
    names: list[str] = []

    def read_and_tell(image: Path) -> np.ndarray:
        names.append(image.name)
        return read_reduced_grey(image)

    monkeypatch.setattr(likeness_cache, "read_reduced_grey", read_and_tell)
    return names


def plain(found: list[Likeness | None]) -> list[object]:
    return [None if each is None else (each.bits.tolist(), each.cells.tolist()) for each in found]


def expected(image: Path) -> object:
    return plain([likeness(read_reduced_grey(image))])[0]


def test_no_images() -> None:
    assert image_likenesses([], cache_file([]), lambda _: None) == []


def test_only_what_changed_is_read_again(images: list[Path], read: list[str], tmp_path: Path) -> None:
    cache, told = tmp_path / "kept" / "a.npz", [0]
    first = plain(image_likenesses(images, cache, told.append))
    assert first == [expected(images[0]), expected(images[1]), None, expected(images[3])]
    assert sum(told) == 4
    read.clear()
    assert plain(image_likenesses(images, cache, told.append)) == first
    assert read == ["2.png"]
    write_image(images[1], seed=9)
    os.utime(images[1], ns=(1, 1))
    read.clear()
    assert plain(image_likenesses(images, cache, told.append))[1] == expected(images[1]) != first[1]
    assert sorted(read) == ["1.png", "2.png"]


@pytest.mark.parametrize("damage", [b"", b"not a zip", b"PK\x03\x04 cut"])
def test_a_damaged_cache_is_made_anew(images: list[Path], tmp_path: Path, damage: bytes) -> None:
    cache = tmp_path / "a.npz"
    cache.write_bytes(damage)
    assert plain(image_likenesses(images[:1], cache, lambda _: None)) == [expected(images[0])]
    assert cache.stat().st_size > 100


def test_a_cache_that_cannot_be_written_is_done_without(images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert plain(image_likenesses(images[:1], tmp_path / "file" / "a", lambda _: None)) == [expected(images[0])]


def test_it_is_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = cache_file([Path("/d/a/1.jpg"), Path("/d/b/2.jpg")]), cache_file([Path("/d/3.jpg")])
    assert first == second
    assert first.is_relative_to(tmp_path / "detect")
    assert cache_file([Path("/e/3.jpg")]) != first


def test_a_fraction_keeps_near_duplicates_on_one_side(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Forty pictures, and a worse copy of each: by their names alone, about half of the pairs would be parted."""
    import cv2

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    rows = []
    for seed in range(40):
        for name, change in ((f"{seed}.png", lambda rgb: rgb), (f"copy-{seed}.png", recompressed)):
            assert cv2.imwrite(str(tmp_path / "photos" / name), change(scene(seed)))
            rows.append(f"{name},cat,1,1,9,9\n")
    (tmp_path / "photos" / "boxes.csv").write_text("".join(rows))
    data = {"format": "auto", "root": str(tmp_path / "photos"), "train": "boxes", "val": 0.5}
    train, val = training_data(parse({"data": data, "train": {"epochs": 1}}, "test"))
    sides = [{Path(part.file(place)).stem.removeprefix("copy-") for place in range(len(part))} for part in (train, val)]
    assert sides[0] & sides[1] == set()
    assert len(train) + len(val) == 80
    assert min(len(train), len(val)) > 20
