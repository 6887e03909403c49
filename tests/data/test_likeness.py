from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detect.data.images import UnreadableImage, read_image, read_reduced_grey
from detect.data.likeness import alike, groups, likeness


def scene(seed: int, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """Smooth blobs, as photos are."""
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


def test_no_photos() -> None:
    assert alike([]) == []
    assert alike([likeness(grey(scene(0)))]) == []


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_the_same_picture(change) -> None:
    assert alike([likeness(grey(scene(1))), likeness(grey(scene(2))), likeness(grey(change(scene(1))))]) == [(0, 2)]


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_other_pictures(change) -> None:
    assert alike([likeness(grey(scene(1))), likeness(grey(np.ascontiguousarray(change(scene(1)))))]) == []


def test_flat_pictures_say_nothing() -> None:
    flat = likeness(np.full((40, 60), 200, np.uint8))
    assert alike([flat, flat]) == []


def test_a_tiny_picture_has_a_likeness() -> None:
    assert likeness(np.zeros((1, 1), np.uint8)).bits.shape == (64,)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [([], []), ([(3, 1)], [[1, 3]]), ([(0, 5), (2, 3), (5, 3)], [[0, 2, 3, 5]]), ([(4, 6), (1, 2)], [[1, 2], [4, 6]])],
)
def test_groups(pairs: list[tuple[int, int]], expected: list[list[int]]) -> None:
    assert groups(pairs) == expected


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_reduced_grey_is_the_upright_photo(tmp_path: Path, suffix: str, orientation: int) -> None:
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
