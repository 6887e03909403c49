"""The size by which the boxes of an image are judged.

The size that a label file states is a claim: exporters write the size of another image, or the one before the EXIF
rotation. The truth is the image file's header. Inspection, conversion and statistics read every header. Training and
evaluation take a claim while all boxes of the image lie inside it, because 100,000 headers take 10 s and more; the
loader compares the size again when it decodes the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from detect.data.findings import DatasetFinding
from detect.data.formats.records import Corners, LabeledImage
from detect.data.images import image_size, read_header
from detect.errors import UnreadableImage
from detect.types import Size

_TOLERANCE = 0.5  # pixels; by less, x + width exceeds the side for rounding alone
_BOX_TOLERANCE = 1.5  # pixels; more than counting from 0 or 1 can explain


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


def other_sizes(images: Iterable[LabeledImage]) -> Iterator[DatasetFinding]:
    """Yield a finding for each image whose label file states another size than the image file has.

    Only the headers of these images are read, and images without a readable one are left out.
    """
    for image in images:
        if image.declared_size is not None and image.size not in (None, image.declared_size):
            try:
                yield size_finding(image, image.known_size, read_header(image.file).transposed)
            except UnreadableImage:
                continue


def size_finding(image: LabeledImage, size: Size, transposed: bool) -> DatasetFinding:
    """Return the finding of an image of ``size`` (h, w) whose label file states another one.

    transposed: True if the EXIF orientation swaps the rows and columns of the file.
    """
    assert image.declared_size is not None
    (height, width), (declared_height, declared_width) = size, image.declared_size
    kind = "rotated" if transposed and image.declared_size == (width, height) else "wrong-size"
    fitting = "the size that is declared" if fits_only_claim(image) else "the image"
    boxes = f"; its boxes fit {fitting}" if image.objects else ""
    declared = f"declares {declared_width} x {declared_height}; {image.file.name} is {width} x {height}"
    return DatasetFinding(kind, str(image.label_file), "", f"{declared}{boxes}")


def fits_only_claim(image: LabeledImage) -> bool:
    """Return True if the boxes of an image fit the size that its label file states and not the size of the file."""
    if image.declared_size is None or image.size in (None, image.declared_size):
        return False
    return _count_outside(image, image.declared_size) < _count_outside(image, image.known_size)


def _count_outside(image: LabeledImage, size: Size) -> int:
    """Count the boxes that have a corner outside an image of ``size`` (h, w), by more than rounding."""
    limits = (size[1] + _BOX_TOLERANCE, size[0] + _BOX_TOLERANCE)
    return sum(instance.box[2] > limits[0] or instance.box[3] > limits[1] for instance in image.objects)


def _reaches_outside(box: Corners, size: Size) -> bool:
    """Return True if a box has a corner outside an image of ``size`` (h, w); never for numbers that are NaN."""
    x1, y1, x2, y2 = box
    return x1 < -_TOLERANCE or y1 < -_TOLERANCE or x2 > size[1] + _TOLERANCE or y2 > size[0] + _TOLERANCE
