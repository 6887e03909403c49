"""Masks of objects as label files hold them (polygons, or COCO's run lengths), packed into arrays, decoded late.

A polygon covers the pixels that pycocotools' ``frPyObjects`` gives it, so that areas and overlaps are COCO's.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

if TYPE_CHECKING:  # types.py imports torch, which scoring does not need
    from detect.types import Size

_POLYGON, _RLE = b"P", b"R"  # the first byte of a packed mask


class PolygonMask(NamedTuple):
    """An outline: each ring is ``x y x y ...`` in continuous pixels, at least three points; their union is covered."""

    rings: tuple[tuple[float, ...], ...]


class RleMask(NamedTuple):
    """COCO's run lengths of an image of ``size`` (h, w), column by column; counts: compressed, as pycocotools has them.

    A file may hold impossible counts, on which pycocotools reads or writes beyond its memory: ``count_pixels`` tells.
    """

    size: Size
    counts: bytes


Mask = PolygonMask | RleMask


def rasterize(mask: Mask, size: Size) -> RleMask:
    """Return a mask as run lengths of an image of ``size`` (h, w); run lengths of another size are cut or filled up."""
    if isinstance(mask, RleMask):
        return mask if mask.size == size else encode(decode(mask, size))
    height, width = size
    if not mask.rings:
        return encode(np.zeros(size, bool))
    return _from_coco(coco_mask.merge([coco_mask.frPyObjects([list(ring)], height, width)[0] for ring in mask.rings]))


def decode(mask: Mask, size: Size) -> np.ndarray:
    """Return the pixels of an image of ``size`` (h, w) that a mask covers, as (h, w) bool.

    Run lengths of an image of another size are laid into the upper left corner, as boxes are.
    """
    rle = mask if isinstance(mask, RleMask) else rasterize(mask, size)
    runs = _runs(rle.counts)
    bitmap = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(rle.size[::-1]).T
    if rle.size == size:
        return bitmap
    canvas = np.zeros(size, bool)
    height, width = min(size[0], rle.size[0]), min(size[1], rle.size[1])
    canvas[:height, :width] = bitmap[:height, :width]
    return canvas


def encode(bitmap: np.ndarray) -> RleMask:
    """Return a bitmap (h, w) bool as run lengths."""
    return _from_coco(coco_mask.encode(np.asfortranarray(bitmap, np.uint8)))


def encode_window(bitmap: np.ndarray, x: int, y: int, size: Size) -> RleMask:
    """Return the mask that ``encode`` would of an image of ``size`` (h, w) that is empty but for a bitmap at x, y.

    The time grows with the window, not with the image: 100 masks of a photo of 12 megapixels would take seconds.
    """
    height, width = size
    padded = np.zeros((bitmap.shape[0] + 2, bitmap.shape[1]), np.int8)
    padded[1:-1] = bitmap
    columns, rows = np.nonzero(
        np.diff(padded, axis=0).T
    )  # the first covered pixel and the one behind the last, in turn
    edges = ((x + columns) * height + y + rows).reshape(-1, 2)
    is_edge = np.ones(edges.shape, bool)  # a run to the bottom may go on at the top of the next column
    is_edge[1:, 0] = is_edge[:-1, 1] = edges[1:, 0] != edges[:-1, 1]
    positions = edges[is_edge]
    counts = np.diff(np.concatenate([[0], positions, [height * width]])).tolist()
    counts = counts[:-1] if counts[-1] == 0 else counts
    return _from_coco(coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width))


def union(masks: Sequence[Mask], size: Size) -> Mask:
    """Return what any of several masks covers in an image of ``size`` (h, w); polygons stay polygons."""
    polygons = [mask for mask in masks if isinstance(mask, PolygonMask)]
    if len(polygons) == len(masks):
        return PolygonMask(tuple(ring for mask in polygons for ring in mask.rings))
    return _from_coco(coco_mask.merge([to_coco(rasterize(mask, size)) for mask in masks]))


def mask_area(mask: RleMask) -> int:
    """Return the number of pixels."""
    return int(coco_mask.area(to_coco(mask)))


def mask_box(mask: RleMask) -> tuple[float, float, float, float]:
    """Return the box x1 y1 x2 y2 around the pixels, in continuous pixels; four zeros for an empty mask."""
    x, y, width, height = (float(number) for number in coco_mask.toBbox(to_coco(mask)))
    return x, y, x + width, y + height


def to_coco(mask: RleMask) -> dict[str, Any]:
    """Return the mask as pycocotools takes it."""
    return {"size": list(mask.size), "counts": mask.counts}


def _from_coco(rle: dict[str, Any]) -> RleMask:
    """Return pycocotools' run lengths as a record."""
    return RleMask((int(rle["size"][0]), int(rle["size"][1])), bytes(rle["counts"]))


def count_pixels(counts: bytes) -> int:
    """Return the number of pixels of an image that compressed counts describe; -1 where they are impossible."""
    try:
        return sum(_runs(counts))
    except ValueError:
        return -1


def _runs(counts: bytes) -> list[int]:
    """Return the lengths of the runs, uncovered and covered in turn. Raises ValueError for impossible counts.

    A count is a number of characters of six bits, the lowest first, as in maskApi.c (``rleFrString``); from the third
    on it is the difference from the count before the last. (pycocotools' ``decode`` warns with numpy 2.)
    """
    runs: list[int] = []
    number, shift = 0, 0
    for character in counts:
        bits = character - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError(f"expected COCO's run lengths, found {counts[:20]!r}")
        number |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            number -= (1 << shift) if bits & 16 else 0
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            if runs[-1] < 0:
                raise ValueError(f"expected COCO's run lengths, found {counts[:20]!r}")
            number, shift = 0, 0
    if shift:
        raise ValueError(f"expected COCO's run lengths, found {counts[-20:]!r}")
    return runs


@dataclass(frozen=True)
class PackedMasks:
    """The masks of G objects in two arrays, which worker processes share.

    content (B,) uint8: the masks end to end; offsets (G + 1,) int64: where each starts and the last ends. An object
    without a mask has no bytes.
    """

    content: np.ndarray
    offsets: np.ndarray

    @classmethod
    def pack(cls, masks: Sequence[Mask | None]) -> PackedMasks:
        """Return the masks packed, in their order."""
        packed = [b"" if mask is None else _pack(mask) for mask in masks]
        lengths = np.asarray([len(content) for content in packed], np.int64)
        return cls(np.frombuffer(b"".join(packed), np.uint8), np.concatenate([[0], lengths.cumsum()]).astype(np.int64))

    @classmethod
    def concatenate(cls, parts: Sequence[PackedMasks]) -> PackedMasks:
        """Return the masks of all parts, in their order."""
        lengths = np.concatenate([np.zeros(0, np.int64), *(part.lengths for part in parts)])
        content = np.concatenate([np.zeros(0, np.uint8), *(part.content for part in parts)])
        return cls(content, np.concatenate([[0], lengths.cumsum()]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """The bytes of each mask (G,) int64; 0 where there is none."""
        return np.diff(self.offsets)

    def __getitem__(self, index: int) -> Mask | None:
        content = bytes(self.content[self.offsets[index] : self.offsets[index + 1]])
        return _unpack(content) if content else None

    def rows(self, rows: slice) -> PackedMasks:
        """Return the masks of neighbouring objects; the content is a view."""
        offsets = self.offsets[rows.start : rows.stop + 1]
        return PackedMasks(self.content[offsets[0] : offsets[-1]], offsets - offsets[0])

    def select(self, keep: np.ndarray) -> PackedMasks:
        """Return the masks of some objects; keep (G,) bool."""
        chosen = [self.rows(slice(int(index), int(index) + 1)) for index in np.flatnonzero(keep)]
        return PackedMasks.concatenate(chosen)

    def bitmaps(self, size: Size) -> np.ndarray:
        """Return the pixels of each object in an image of ``size`` (h, w): (G, h, w) bool, without a mask none."""
        bitmaps = np.zeros((len(self), *size), bool)
        for index, bitmap in enumerate(bitmaps):
            mask = self[index]
            if mask is not None:
                bitmap[:] = decode(mask, size)
        return bitmaps


def _pack(mask: Mask) -> bytes:
    """Return a mask as bytes; ``_unpack`` returns the same mask, to the last bit."""
    if isinstance(mask, RleMask):
        return _RLE + struct.pack("<2i", *mask.size) + mask.counts
    lengths = [len(ring) for ring in mask.rings]
    coordinates = [number for ring in mask.rings for number in ring]
    return _POLYGON + struct.pack(f"<{len(lengths) + 1}i{len(coordinates)}d", len(lengths), *lengths, *coordinates)


def _unpack(content: bytes) -> Mask:
    """Return the mask that ``_pack`` wrote."""
    if content[:1] == _RLE:
        height, width = struct.unpack_from("<2i", content, 1)
        return RleMask((height, width), content[9:])
    (count,) = struct.unpack_from("<i", content, 1)
    lengths = struct.unpack_from(f"<{count}i", content, 5)
    coordinates = struct.unpack_from(f"<{sum(lengths)}d", content, 5 + 4 * count)
    ends = np.cumsum((0, *lengths)).tolist()
    return PolygonMask(tuple(coordinates[start:end] for start, end in pairwise(ends)))
