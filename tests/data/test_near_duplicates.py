from __future__ import annotations

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detect.data import near_duplicates as module
from detect.data.images import UnreadableImage, read_image, read_reduced_grey
from detect.data.near_duplicates import Likeness, alike, likeness


def scene(seed: int, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """Smooth blobs, as images are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC))


def grey(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))


def recompressed(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR))


SAME = {
    "itself": lambda rgb: rgb,
    "recompressed": recompressed,
    "half the size": lambda rgb: cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "darker": lambda rgb: (rgb * 0.8).astype(np.uint8),
    "a pixel further": lambda rgb: np.roll(rgb, 1, axis=1),
}
OTHER = {
    "another": lambda _: scene(99),
    "mirrored": lambda rgb: rgb[:, ::-1],
    "turned": lambda rgb: rgb.transpose(1, 0, 2),
    "negative": lambda rgb: 255 - rgb,
    "flat": lambda rgb: np.full_like(rgb, 90),
}


def test_no_images() -> None:
    assert alike([]) == []
    assert alike([likeness(grey(scene(0)))]) == []


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_the_same_picture(change) -> None:
    assert alike([likeness(grey(scene(1))), likeness(grey(scene(2))), likeness(grey(change(scene(1))))]) == [[0, 2]]


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_other_pictures(change) -> None:
    assert alike([likeness(grey(scene(1))), likeness(grey(np.ascontiguousarray(change(scene(1)))))]) == []


def test_flat_pictures_say_nothing() -> None:
    flat = likeness(np.full((40, 60), 200, np.uint8))
    assert alike([flat, flat]) == []


def test_a_tiny_picture_has_a_likeness() -> None:
    assert likeness(np.zeros((1, 1), np.uint8)).bits.shape == (64,)


def drawn(count: int, kinds: int, seed: int) -> list[Likeness]:
    """Blends of scenes: some are alike, some are not, some by way of a third."""
    draw = np.random.default_rng(seed)
    pictures = [grey(scene(kind)).astype(float) for kind in range(kinds)]
    pairs = ((*draw.integers(kinds, size=2), draw.uniform(0, 0.5)) for _ in range(count))
    blends = ((1 - share) * pictures[one] + share * pictures[other] for one, other, share in pairs)
    return [likeness(blend.astype(np.uint8)) for blend in blends]


def connected(images: list[Likeness]) -> list[list[int]]:
    """Slowly: every pair by itself, then joined until nothing changes."""
    near = np.eye(len(images), dtype=bool)
    for i, a in enumerate(images):
        for j, b in enumerate(images):
            same = np.corrcoef(a.cells, b.cells)[0, 1] >= 0.95 and (a.bits != b.bits).sum() <= 10
            near[i, j] |= same
    while ((wider := (near.astype(int) @ near) > 0) != near).any():
        near = wider
    return [np.flatnonzero(row).tolist() for at, row in enumerate(near) if row.sum() > 1 and not row[:at].any()]


@pytest.mark.parametrize("at_once", [1, 100, 1 << 23])
@pytest.mark.parametrize("confirmed", [1, 7, 1 << 14])
def test_groups_are_those_of_all_pairs(monkeypatch: pytest.MonkeyPatch, at_once: int, confirmed: int) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    monkeypatch.setattr(module, "_CONFIRMED", confirmed)
    images = drawn(60, 6, 0)
    told: list[int] = []
    expected = connected(images)
    assert min(map(len, expected)) >= 2
    assert 20 < sum(map(len, expected)) < 60
    assert alike(images, told.append) == expected
    assert sum(told) == 60


def test_many_images_of_one_scene_are_one_group() -> None:
    """A million pairs: all of them at once would take 2 GB."""
    one = likeness(grey(scene(1)))
    tracemalloc.start()
    assert alike([one] * 1500) == [list(range(1500))]
    assert tracemalloc.get_traced_memory()[1] < 150e6
    tracemalloc.stop()


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_reduced_grey_is_the_upright_image(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(scene(1)).save(path, exif=exif)
    whole = likeness(grey(read_image(path)))
    assert np.abs(likeness(read_reduced_grey(path)).cells.astype(int) - whole.cells).max() <= 12


def test_reduced_grey_sees_a_truncated_file(tmp_path: Path) -> None:
    Image.fromarray(scene(1)).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-200])
    with pytest.raises(UnreadableImage, match=r"a\.jpg: cannot be decoded: .*truncated"):
        read_reduced_grey(tmp_path / "a.jpg")
