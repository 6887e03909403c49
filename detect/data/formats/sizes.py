"""The size by which the boxes of an image are judged.

The size that a label file states is a claim: exporters write the size of another image, or the one before the EXIF
rotation. The truth is the image file's header. Inspection, conversion and statistics read every header. Training and
evaluation take a claim while all boxes of the image lie inside it, because 100,000 headers take 10 s and more; the
loader compares the size again when it decodes the image.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from detect.data.formats.records import Corners
from detect.data.images import UnreadableImage, image_size
from detect.types import Size

_TOLERANCE = 0.5  # pixels; by less, x + width exceeds the side for rounding alone


@dataclass(frozen=True)
class ImageSizes:
    """Decides on the sizes of images.

    trust_claims: take a size that the label file states while no box reaches outside it; skip_unreadable: return None
    for an image that cannot be read, instead of raising UnreadableImage.
    """

    trust_claims: bool = True
    skip_unreadable: bool = False

    def size(self, image: Path, claim: Size | None, boxes: Iterable[Corners]) -> Size | None:
        """Return the (h, w) for judging ``boxes`` (continuous x1 y1 x2 y2) of an image; claim: (h, w) as labelled.

        Where the header cannot be read, the claim is returned: the image cannot be used in any case. Raises
        UnreadableImage where there is no claim either.
        """
        if claim is not None and self.trust_claims and not any(_reaches_outside(box, claim) for box in boxes):
            return claim
        try:
            return image_size(image)
        except UnreadableImage:
            if claim is None and not self.skip_unreadable:
                raise
            return claim


TRUE_SIZES = ImageSizes(trust_claims=False)


def _reaches_outside(box: Corners, size: Size) -> bool:
    """Return True if a box has a corner outside an image of ``size`` (h, w); never for numbers that are NaN."""
    x1, y1, x2, y2 = box
    return x1 < -_TOLERANCE or y1 < -_TOLERANCE or x2 > size[1] + _TOLERANCE or y2 > size[0] + _TOLERANCE
