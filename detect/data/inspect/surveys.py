"""A folder in any of the formats, to one survey."""

from __future__ import annotations

from pathlib import Path

from detect.data.formats.detect_format import BoxFormat, found_format
from detect.data.inspect.scan_coco import read_coco_survey
from detect.data.inspect.scan_csv import read_csv_survey
from detect.data.inspect.scan_records import Survey
from detect.data.inspect.scan_voc import read_voc_survey
from detect.data.inspect.scan_yolo import read_yolo_survey


def read_survey(root: Path, wanted: BoxFormat | None, images: Path | None = None) -> Survey:
    """The folder's survey. wanted: its format, None to see; images: COCO's and CSV's photos. Raises UserError."""
    found = wanted or found_format(root)
    if found == "voc":
        return read_voc_survey(root)
    if found == "yolo":
        return read_yolo_survey(root)
    return read_coco_survey(root, images) if found == "coco" else read_csv_survey(root, images)
