"""Checks for masks that cannot be the mask of their object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from detect.data.findings import DatasetFinding
from detect.data.formats.labeled_folder import LabeledFolder
from detect.data.formats.records import LabeledImage, LabeledObject
from detect.data.masks import PolygonMask, decode, mask_area, mask_box, rasterize
from detect.types import Size

_OUTSIDE_TOLERANCE = 2.0  # pixels of the box; polygons are filled to whole pixels
_MIN_OUTSIDE = 0.1  # of a mask's pixels; 38 of VOC 2007's 1,215 masks have over 0.05 outside their box
_MIN_FILL = 0.05  # of the box; a diagonal line of a tenth of the sides fills more
_AREA_TOLERANCE = 0.1  # of the area: tools compute it from corners or from pixels, which differ for small objects
_MIN_AREA_DIFFERENCE = 30.0  # square pixels
_MAX_POINTS = 4000  # of a ring: all pairs of its edges are compared at once


def check_masks(folder: LabeledFolder) -> Iterator[DatasetFinding]:
    """Check each mask against its box and its stated area, and name the objects without one where most have one.

    "Most" is of the folder, for VOC of the image: only some of its images have masks. Objects whose box is invalid, a
    finding of its own, are left out.
    """
    images = [image for image in folder.images if image.size is not None]
    total_share = _masked_share([instance for image in images for instance in image.objects])
    for image in images:
        share = _masked_share(image.objects) if folder.format == "voc" else total_share
        for instance in image.objects:
            if instance.invalid_reason is not None:
                continue
            if instance.mask is not None:
                for kind, description in _check_mask(instance, image.known_size):
                    yield DatasetFinding(kind, *_place(image, instance), f"{instance.name}: {description}")
            elif share > 0.5 and not instance.has_mask and not instance.crowd:  # both have findings of their own
                message = f"{instance.name}: {share:.0%} of the objects have one"
                yield DatasetFinding("no-mask", *_place(image, instance), message)


def _masked_share(objects: Sequence[LabeledObject]) -> float:
    """Return the fraction of the objects that have a mask; 0 without objects."""
    return sum(instance.mask is not None for instance in objects) / max(1, len(objects))


def _place(image: LabeledImage, instance: LabeledObject) -> tuple[str, str]:
    return str(image.label_file), instance.location


def _check_mask(instance: LabeledObject, size: Size) -> Iterator[tuple[str, str]]:
    """Yield (kind, description) of the faults of a mask in an image of ``size`` (h, w)."""
    mask = instance.mask
    assert mask is not None
    rle = rasterize(mask, size)
    area = mask_area(rle)
    if area == 0:
        yield "empty-mask", f"no pixel in {size[1]} x {size[0]}"
        return
    x1, y1, x2, y2 = instance.box
    left, top, right, bottom = mask_box(rle)
    if max(x1 - left, y1 - top, right - x2, bottom - y2) > _OUTSIDE_TOLERANCE:
        outside = area - int(decode(rle, size)[_pixels(y1, y2), _pixels(x1, x2)].sum())
        if outside > _MIN_OUTSIDE * area:
            yield "mask-outside", f"{outside} of {area} pixels outside {x1:g} {y1:g} {x2:g} {y2:g}"
    if area < _MIN_FILL * (x2 - x1) * (y2 - y1):
        yield "thin-mask", f"{area} of {(x2 - x1) * (y2 - y1):.0f} square pixels"
    stated = None if instance.crowd else instance.area  # COCO's own areas of crowds are not those of their masks
    if stated is not None and abs(stated - area) > max(_AREA_TOLERANCE * area, _MIN_AREA_DIFFERENCE):
        yield "mask-area", f"{stated:g} stated, {area} pixels"
    if isinstance(mask, PolygonMask) and any(map(crosses_itself, mask.rings)):
        yield "self-crossing", f"a polygon of {max(map(len, mask.rings)) // 2} points"


def _pixels(low: float, high: float) -> slice:
    """Return the pixels that an interval touches."""
    return slice(max(0, int(np.floor(low))), max(0, int(np.ceil(high))))


def crosses_itself(ring: tuple[float, ...]) -> bool:
    """Return True if two edges of a polygon ``x y x y ...`` cross in their interiors.

    Edges that touch at a corner, or lie on each other (the bridges to holes and parts that some tools draw), do not.
    A polygon of over 4,000 points is not checked.
    """
    points = np.asarray(ring).reshape(-1, 2)
    if len(points) > _MAX_POINTS:
        return False
    start, end = points, np.roll(points, -1, axis=0)
    # side[i, j] is the side of edge i on which the start of edge j lies; its end is the start of the next edge.
    side = np.sign(_cross(end - start, points[None, :] - start[:, None]))
    separates = side * np.roll(side, -1, axis=1) < 0
    return bool((separates & separates.T).any())


def _cross(directions: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the cross products (n, m) of directions (n, 2) with offsets (n, m, 2)."""
    crossed: np.ndarray = directions[:, None, 0] * offsets[..., 1] - directions[:, None, 1] * offsets[..., 0]
    return crossed
