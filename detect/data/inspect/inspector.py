"""A survey and the images it names, to findings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from detect.data.formats.detect_format import BoxFormat, found_format
from detect.data.inspect.box_checks import check_boxes
from detect.data.inspect.class_checks import check_classes
from detect.data.inspect.findings import KINDS, Finding
from detect.data.inspect.image_checks import Looks, check_copies, check_images
from detect.data.inspect.scan_coco import read_coco_survey
from detect.data.inspect.scan_csv import read_csv_survey
from detect.data.inspect.scan_records import Survey
from detect.data.inspect.scan_voc import read_voc_survey
from detect.data.inspect.scan_yolo import read_yolo_survey


def inspect(survey: Survey, looks: Looks, compared: Callable[[int], None] = lambda _: None) -> list[Finding]:
    """All findings, each once, worst kind first.

    looks: what every image of the survey is; compared: told, now and then, how many more images were compared with all
    others.
    """
    found = [
        *survey.findings,
        *check_images(survey.images, looks),
        *check_copies(survey.images, looks, compared),
        *check_boxes(survey, looks),
        *check_classes(survey),
    ]
    order = {kind: place for place, kind in enumerate(KINDS)}
    return sorted(dict.fromkeys(found), key=lambda finding: order[finding.kind])


def read_survey(root: Path, wanted: BoxFormat | None, images: Path | None = None) -> Survey:
    """The folder's survey. wanted: its format, None to see; images: COCO's and CSV's images. Raises UserError."""
    found = wanted or found_format(root)
    if found == "voc":
        return read_voc_survey(root)
    if found == "yolo":
        return read_yolo_survey(root)
    return read_coco_survey(root, images) if found == "coco" else read_csv_survey(root, images)
