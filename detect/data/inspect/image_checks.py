"""Checks for images that cannot be used, that differ from their annotation, or that exist more than once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from detect.data.findings import DatasetFinding
from detect.data.formats.labeled_folder import LabeledFolder
from detect.data.formats.records import LabeledImage
from detect.data.formats.sizes import size_finding
from detect.data.image_kinds import SUFFIXES_BY_FORMAT
from detect.data.inspect.image_scan import ImageInfo
from detect.data.near_duplicates import group_duplicates
from detect.types import Size

_MIN_SIDE = 16  # pixels: one cell of the last shared feature map of most networks
_MAX_ASPECT_RATIO = 10.0  # longer side over shorter side
_MAX_PIXELS = 50_000_000  # pixels: an image of this size takes a second to decode

BROKEN_LINK = "a link to a file that is not there"
_MAX_DARK_SAMPLE = 2**14 - 1  # of 16 bits: cameras and scanners have 10, 12 or 14

ImageInfos = Mapping[Path, ImageInfo]


def check_images(images: Iterable[LabeledImage], image_infos: ImageInfos) -> Iterator[DatasetFinding]:
    """Check each image by itself, and compare it with the size that its annotation declares.

    An image that does not exist is among the findings of the reader, but for a link to one, which it takes for a file.
    """
    for image in images:
        image_info, file = image_infos[image.file], str(image.file)
        if image_info.missing:
            if image.file.is_symlink():
                yield DatasetFinding("missing-image", file, "", BROKEN_LINK)
            continue
        if image_info.header is None:
            yield DatasetFinding("unreadable-image", file, "", image_info.unreadable_reason)
        else:
            header = image_info.header
            yield from _check_header(image, header.format, header.size, header.transposed)
            if image_info.num_frames > 1:
                message = f"{image_info.num_frames} frames, of which the first is read"
                yield DatasetFinding("several-frames", file, "", message)
            brightest = image_info.brightest_of_16_bits
            if brightest is not None and 0 < brightest <= _MAX_DARK_SAMPLE:
                message = f"its brightest sample is {brightest} of 65535: {brightest.bit_length()} bits"
                yield DatasetFinding("dark-16-bit", file, "", message)


def _check_header(image: LabeledImage, encoding: str, size: Size, transposed: bool) -> Iterator[DatasetFinding]:
    file, (height, width) = str(image.file), size
    suffix = image.file.suffix.lower()
    if suffix not in SUFFIXES_BY_FORMAT[encoding]:
        yield DatasetFinding("wrong-suffix", file, "", f"a {encoding} file named {suffix}")
    if min(size) < _MIN_SIDE or max(size) > _MAX_ASPECT_RATIO * min(size) or height * width > _MAX_PIXELS:
        yield DatasetFinding("odd-size", file, "", f"{width} x {height}")
    if image.declared_size not in (None, size):
        yield size_finding(image, size, transposed)


def check_duplicates(
    folder: LabeledFolder, image_infos: ImageInfos, on_progress: Callable[[int], None]
) -> Iterator[DatasetFinding]:
    """Check for images that exist twice, and for images that two splits share.

    on_progress: called with the number of newly compared images, as in ``group_duplicates``.
    """
    splits_of = {image.file: folder.roles.get(image.file, frozenset()) for image in folder.distinct_images}
    for path, splits in splits_of.items():
        if len(splits) > 1:
            yield DatasetFinding("leak", str(path), "", f"in {_join_names(splits)}")
    by_digest: dict[bytes, list[Path]] = defaultdict(list)
    for path in splits_of:
        if image_infos[path].header is not None:
            by_digest[image_infos[path].digest].append(path)
    yield from _duplicate_findings(by_digest.values(), splits_of, ("leak", "duplicate-image"), "the same bytes as")
    hashed = [
        (paths[0], perceptual_hash)
        for paths in by_digest.values()
        if (perceptual_hash := image_infos[paths[0]].perceptual_hash) is not None
    ]
    groups = group_duplicates([perceptual_hash for _, perceptual_hash in hashed], on_progress)
    near = [[hashed[index][0] for index in group] for group in groups]
    yield from _duplicate_findings(near, splits_of, ("near-leak", "near-duplicate"), "nearly the same image as")


def _duplicate_findings(
    groups: Iterable[list[Path]], splits_of: Mapping[Path, frozenset[str]], kinds: tuple[str, str], phrase: str
) -> Iterator[DatasetFinding]:
    """Yield a finding for each image of a group but the first. kinds: for two splits, and for all other cases."""
    for first, *others in groups:
        for other in others:
            across = splits_of[first] and splits_of[other] and not splits_of[first] & splits_of[other]
            splits = f" ({_join_names(splits_of[first])} and {_join_names(splits_of[other])})" if across else ""
            yield DatasetFinding(kinds[0] if across else kinds[1], str(other), "", f"{phrase} {first.name}{splits}")


def _join_names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
