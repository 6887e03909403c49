"""Reads a labelled folder in any format to its end, and checks its labels and images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from detect.data.findings import FINDING_KINDS, DatasetFinding
from detect.data.formats.detect_format import BoxFormat, detect_format
from detect.data.formats.labeled_folder import LabeledFolder
from detect.data.formats.read_folder import read_folder
from detect.data.formats.report import Report
from detect.data.formats.sizes import ImageSizes
from detect.data.inspect.box_checks import check_boxes
from detect.data.inspect.class_checks import check_classes
from detect.data.inspect.image_checks import ImageInfos, check_duplicates, check_images
from detect.data.inspect.mask_checks import check_masks


def scan_folder(
    root: Path,
    format: BoxFormat | None,  # noqa: A002 - the name of the setting
    images: Path | None = None,
    encoding: str | None = None,
) -> LabeledFolder:
    """Return the content of a labelled folder, whatever faults it has. Raises UserError if it cannot be read at all.

    format: its format, None to detect it; images: the folder of the images where one file names them; encoding: of
    texts (CSV, YOLO) without a byte order mark, None for UTF-8. Boxes are judged by the size of the image file.
    """
    sizes = ImageSizes(trust_claims=False, skip_unreadable=True)
    absolute = None if images is None else images.absolute()
    return read_folder(root, format or detect_format(root), absolute, Report(), sizes, encoding, masks=True)


def inspect_dataset(
    folder: LabeledFolder, image_infos: ImageInfos, on_progress: Callable[[int], None] = lambda _: None
) -> list[DatasetFinding]:
    """Return all findings, each once, the worst kind first.

    image_infos: the ImageInfo of every image of the folder; on_progress: called from time to time with the number of
    images that were compared with all others since the last call.
    """
    findings = [
        *(finding for finding in folder.findings if finding.kind != "fractions"),  # check_boxes names each box
        *check_images(folder.images, image_infos),
        *check_duplicates(folder, image_infos, on_progress),
        *check_boxes(folder),
        *check_masks(folder),
        *check_classes(folder),
    ]
    rank = {kind: index for index, kind in enumerate(FINDING_KINDS)}
    return sorted(dict.fromkeys(findings), key=lambda finding: rank[finding.kind])
