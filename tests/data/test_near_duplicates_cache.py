from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from detect.config.builders.data import training_data
from detect.config.files import parse_config
from detect.data import near_duplicates_cache as module
from detect.data.images import read_reduced_gray
from detect.data.near_duplicates import ImageHash, image_hash
from detect.data.near_duplicates_cache import hash_cache_file, image_hashes
from tests.data.folders import write_image
from tests.data.test_near_duplicates import random_image, recompress


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Return four image files; the third is damaged."""
    files = [write_image(tmp_path / f"{seed}.png", seed=seed) for seed in range(4)]
    files[2].write_bytes(b"nothing")
    return files


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that collects the names of the images that are read."""
    names: list[str] = []

    def read_and_record(image: Path) -> np.ndarray:
        names.append(image.name)
        return read_reduced_gray(image)

    monkeypatch.setattr(module, "read_reduced_gray", read_and_record)
    return names


def to_lists(hashes: list[ImageHash | None]) -> list[object]:
    return [None if entry is None else (entry.bits.tolist(), entry.cells.tolist()) for entry in hashes]


def expected(image: Path) -> object:
    return to_lists([image_hash(read_reduced_gray(image))])[0]


def test_image_hashes_of_no_images() -> None:
    assert image_hashes([], hash_cache_file([]), lambda _: None) == []


def test_image_hashes_reads_only_changed_images_again(images: list[Path], read: list[str], tmp_path: Path) -> None:
    cache, progress = tmp_path / "cache" / "a.npz", [0]
    first = to_lists(image_hashes(images, cache, progress.append))
    assert first == [expected(images[0]), expected(images[1]), None, expected(images[3])]
    assert sum(progress) == 4
    read.clear()
    assert to_lists(image_hashes(images, cache, progress.append)) == first
    assert read == ["2.png"]
    write_image(images[1], seed=9)
    os.utime(images[1], ns=(1, 1))
    read.clear()
    assert to_lists(image_hashes(images, cache, progress.append))[1] == expected(images[1]) != first[1]
    assert sorted(read) == ["1.png", "2.png"]


@pytest.mark.parametrize("damage", [b"", b"not a zip", b"PK\x03\x04 cut"])
def test_image_hashes_with_damaged_cache_rebuilds_it(images: list[Path], tmp_path: Path, damage: bytes) -> None:
    cache = tmp_path / "a.npz"
    cache.write_bytes(damage)
    assert to_lists(image_hashes(images[:1], cache, lambda _: None)) == [expected(images[0])]
    assert cache.stat().st_size > 100


def test_image_hashes_without_writable_cache(images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert to_lists(image_hashes(images[:1], tmp_path / "file" / "a", lambda _: None)) == [expected(images[0])]


def test_hash_cache_file_is_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = hash_cache_file([Path("/d/a/1.jpg"), Path("/d/b/2.jpg")]), hash_cache_file([Path("/d/3.jpg")])
    assert first == second
    assert first.is_relative_to(tmp_path / "detect")
    assert hash_cache_file([Path("/e/3.jpg")]) != first


def test_validation_fraction_keeps_near_duplicates_on_one_side(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Forty images and a worse copy of each: by their names alone, about half of the pairs would be split."""
    import cv2

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    rows = []
    for seed in range(40):
        for name, change in ((f"{seed}.png", lambda rgb: rgb), (f"copy-{seed}.png", recompress)):
            assert cv2.imwrite(str(tmp_path / "photos" / name), change(random_image(seed)))
            rows.append(f"{name},cat,1,1,9,9\n")
    (tmp_path / "photos" / "boxes.csv").write_text("".join(rows))
    data = {"format": "auto", "root": str(tmp_path / "photos"), "train": "boxes", "val": 0.5}
    train, val = training_data(parse_config({"data": data, "train": {"epochs": 1}}, "test"))
    sides = [{Path(part.file(i)).stem.removeprefix("copy-") for i in range(len(part))} for part in (train, val)]
    assert sides[0] & sides[1] == set()
    assert len(train) + len(val) == 80
    assert min(len(train), len(val)) > 20
