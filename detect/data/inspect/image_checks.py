"""Images that cannot be used, are not what they say, or are in the folder more than once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from detect.data.inspect.findings import Finding
from detect.data.inspect.image_scan import Look
from detect.data.inspect.scan_records import SeenImage
from detect.data.near_duplicates import alike
from detect.types import Size

_SUFFIXES = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "MPO": {".jpg", ".jpeg", ".mpo"},
    "PNG": {".png"},
    "BMP": {".bmp"},
    "WEBP": {".webp"},
    "TIFF": {".tif", ".tiff"},
    "GIF": {".gif"},
}
_LEAST_SIDE = 16  # pixels: a cell of the last shared map of most networks
_LONGEST = 10.0  # times as long as wide
_LARGEST = 50_000_000  # pixels: an image that takes a second to decode

Looks = Mapping[Path, Look]


def check_images(images: Iterable[SeenImage], looks: Looks) -> Iterator[Finding]:
    """Each image by itself, and beside what its annotation tells of it."""
    for image in images:
        seen, file = looks[image.image], str(image.image)
        if seen.missing:
            yield Finding("missing-image", str(image.labels), "", f"its image {file} is not there")
        elif seen.header is None:
            yield Finding("unreadable-image", file, "", seen.flaw)
        else:
            yield from _check_header(image, seen.header.format, seen.header.size, seen.header.turned)


def _check_header(image: SeenImage, encoding: str, size: Size, turned: bool) -> Iterator[Finding]:
    file, (height, width) = str(image.image), size
    suffix = image.image.suffix.lower()
    if suffix not in _SUFFIXES.get(encoding, {suffix}):
        yield Finding("wrong-suffix", file, "", f"a {encoding} named {suffix}")
    if min(size) < _LEAST_SIDE or max(size) > _LONGEST * min(size) or height * width > _LARGEST:
        yield Finding("odd-size", file, "", f"{width} x {height}")
    if image.told in (None, size):
        return
    assert image.told is not None
    kind = "rotated" if turned and image.told == (width, height) else "wrong-size"
    told = f"{image.told[1]} x {image.told[0]}"
    yield Finding(kind, str(image.labels), "", f"says {told}; {image.image.name} is {width} x {height}")


def check_copies(image_files: Iterable[SeenImage], looks: Looks, compared: Callable[[int], None]) -> Iterator[Finding]:
    """Images that are there twice, and those that two splits share. compared: as ``alike`` has it."""
    splits: dict[Path, set[str]] = defaultdict(set)
    for image_file in image_files:
        splits[image_file.image] |= image_file.splits
    for image, held in splits.items():
        if len(held) > 1:
            yield Finding("leak", str(image), "", f"in {_listed(held)}")
    by_digest: dict[bytes, list[Path]] = defaultdict(list)
    for image in splits:
        if looks[image].header is not None:
            by_digest[looks[image].digest].append(image)
    yield from _copies(by_digest.values(), splits, ("leak", "duplicate-image"), "the same bytes as")
    firsts = [(images[0], found) for images in by_digest.values() if (found := looks[images[0]].likeness) is not None]
    near = [[firsts[place][0] for place in group] for group in alike([found for _, found in firsts], compared)]
    yield from _copies(near, splits, ("near-leak", "near-duplicate"), "nearly the same picture as")


def _copies(
    alike: Iterable[list[Path]], splits: Mapping[Path, set[str]], kinds: tuple[str, str], words: str
) -> Iterator[Finding]:
    """A finding for each image that is like an earlier one; ``kinds``: across two splits, and otherwise."""
    for first, *others in alike:
        for other in others:
            across = splits[first] and splits[other] and not splits[first] & splits[other]
            where = f" ({_listed(splits[first])} and {_listed(splits[other])})" if across else ""
            yield Finding(kinds[0] if across else kinds[1], str(other), "", f"{words} {first.name}{where}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
