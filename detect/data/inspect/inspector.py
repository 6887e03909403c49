"""Scans a labelled folder in any format, and checks the scan and the images that it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from detect.data.formats.detect_format import BoxFormat, detect_format
from detect.data.inspect.box_checks import check_boxes
from detect.data.inspect.class_checks import check_classes
from detect.data.inspect.findings import FINDING_KINDS, DatasetFinding
from detect.data.inspect.image_checks import ImageInfos, check_duplicates, check_images
from detect.data.inspect.scan_coco import scan_coco
from detect.data.inspect.scan_csv import scan_csv
from detect.data.inspect.scan_records import FolderScan
from detect.data.inspect.scan_voc import scan_voc
from detect.data.inspect.scan_yolo import scan_yolo


def scan_folder(
    root: Path,
    format: BoxFormat | None,  # noqa: A002 - the name of the setting
    images: Path | None = None,
) -> FolderScan:
    """Return the content of a labelled folder. Raises UserError if it cannot be read.

    format: its format, None to detect it; images: the folder of the images for COCO and CSV.
    """
    format = format or detect_format(root)  # noqa: A001
    if format == "voc":
        return scan_voc(root)
    if format == "yolo":
        return scan_yolo(root)
    return scan_coco(root, images) if format == "coco" else scan_csv(root, images)


def inspect_dataset(
    scan: FolderScan, image_infos: ImageInfos, on_progress: Callable[[int], None] = lambda _: None
) -> list[DatasetFinding]:
    """Return all findings, each once, the worst kind first.

    image_infos: the ImageInfo of every image of the scan; on_progress: called from time to time with the number of
    images that were compared with all others since the last call.
    """
    findings = [
        *scan.findings,
        *check_images(scan.images, image_infos),
        *check_duplicates(scan.images, image_infos, on_progress),
        *check_boxes(scan, image_infos),
        *check_classes(scan),
    ]
    rank = {kind: index for index, kind in enumerate(FINDING_KINDS)}
    return sorted(dict.fromkeys(findings), key=lambda finding: rank[finding.kind])
