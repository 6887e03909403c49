from __future__ import annotations

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detect.data import near_duplicates as module
from detect.data.images import read_image, read_reduced_gray
from detect.data.near_duplicates import ImageHash, group_duplicates, image_hash
from detect.errors import UnreadableImage


def random_image(seed: int, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """Return smooth random blobs, (h, w, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC))


def to_gray(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))


def recompress(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR))


SAME_IMAGE = {
    "itself": lambda rgb: rgb,
    "recompressed": recompress,
    "half the size": lambda rgb: cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "darker": lambda rgb: (rgb * 0.8).astype(np.uint8),
    "a pixel further": lambda rgb: np.roll(rgb, 1, axis=1),
}
OTHER_IMAGE = {
    "another": lambda _: random_image(99),
    "mirrored": lambda rgb: rgb[:, ::-1],
    "transposed": lambda rgb: rgb.transpose(1, 0, 2),
    "negative": lambda rgb: 255 - rgb,
    "flat": lambda rgb: np.full_like(rgb, 90),
}


def test_group_duplicates_of_no_or_one_image() -> None:
    assert group_duplicates([]) == []
    assert group_duplicates([image_hash(to_gray(random_image(0)))]) == []


@pytest.mark.parametrize("change", SAME_IMAGE.values(), ids=SAME_IMAGE)
def test_group_duplicates_joins_copies(change) -> None:
    assert group_duplicates(
        [
            image_hash(to_gray(random_image(1))),
            image_hash(to_gray(random_image(2))),
            image_hash(to_gray(change(random_image(1)))),
        ]
    ) == [[0, 2]]


@pytest.mark.parametrize("change", OTHER_IMAGE.values(), ids=OTHER_IMAGE)
def test_group_duplicates_separates_other_images(change) -> None:
    assert (
        group_duplicates(
            [image_hash(to_gray(random_image(1))), image_hash(to_gray(np.ascontiguousarray(change(random_image(1)))))]
        )
        == []
    )


def test_group_duplicates_ignores_flat_images() -> None:
    flat = image_hash(np.full((40, 60), 200, np.uint8))
    assert group_duplicates([flat, flat]) == []


def test_image_hash_of_one_pixel() -> None:
    assert image_hash(np.zeros((1, 1), np.uint8)).bits.shape == (64,)


def blended_hashes(count: int, kinds: int, seed: int) -> list[ImageHash]:
    """Return hashes of blends of images: some are near-duplicates, some are not, some only by way of a third."""
    rng = np.random.default_rng(seed)
    gray_images = [to_gray(random_image(kind)).astype(float) for kind in range(kinds)]
    pairs = ((*rng.integers(kinds, size=2), rng.uniform(0, 0.5)) for _ in range(count))
    blends = ((1 - weight) * gray_images[first] + weight * gray_images[second] for first, second, weight in pairs)
    return [image_hash(blend.astype(np.uint8)) for blend in blends]


def groups_by_all_pairs(images: list[ImageHash]) -> list[list[int]]:
    """Return the groups by brute force: compare every pair, then merge groups until nothing changes."""
    near = np.eye(len(images), dtype=bool)
    for i, a in enumerate(images):
        for j, b in enumerate(images):
            same = np.corrcoef(a.cells, b.cells)[0, 1] >= 0.95 and (a.bits != b.bits).sum() <= 10
            near[i, j] |= same
    while ((wider := (near.astype(int) @ near) > 0) != near).any():
        near = wider
    return [np.flatnonzero(row).tolist() for at, row in enumerate(near) if row.sum() > 1 and not row[:at].any()]


@pytest.mark.parametrize("max_distances", [1, 100, 1 << 23])
@pytest.mark.parametrize("max_pairs", [1, 7, 1 << 14])
def test_group_duplicates_equals_brute_force(
    monkeypatch: pytest.MonkeyPatch, max_distances: int, max_pairs: int
) -> None:
    monkeypatch.setattr(module, "_MAX_DISTANCES", max_distances)
    monkeypatch.setattr(module, "_MAX_PAIRS", max_pairs)
    images = blended_hashes(60, 6, 0)
    progress: list[int] = []
    expected = groups_by_all_pairs(images)
    assert min(map(len, expected)) >= 2
    assert 20 < sum(map(len, expected)) < 60
    assert group_duplicates(images, progress.append) == expected
    assert sum(progress) == 60


def test_group_duplicates_of_many_copies_needs_little_memory() -> None:
    """A million pairs: all of them at once would take 2 GB."""
    first = image_hash(to_gray(random_image(1)))
    tracemalloc.start()
    assert group_duplicates([first] * 1500) == [list(range(1500))]
    assert tracemalloc.get_traced_memory()[1] < 150e6
    tracemalloc.stop()


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_read_reduced_gray_is_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(random_image(1)).save(path, exif=exif)
    whole = image_hash(to_gray(read_image(path)))
    assert np.abs(image_hash(read_reduced_gray(path)).cells.astype(int) - whole.cells).max() <= 12


def test_read_reduced_gray_of_truncated_file_fails(tmp_path: Path) -> None:
    Image.fromarray(random_image(1)).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-200])
    with pytest.raises(UnreadableImage, match=r"a\.jpg: cannot be decoded: .*truncated"):
        read_reduced_gray(tmp_path / "a.jpg")
