"""A folder in any of the formats, to one survey."""

from __future__ import annotations

from pathlib import Path

from detect.data.formats import BoxFormat, found_format
from detect.inspection.reading_coco import read_coco_survey
from detect.inspection.reading_csv import read_csv_survey
from detect.inspection.reading_voc import read_voc_survey
from detect.inspection.reading_yolo import read_yolo_survey
from detect.inspection.records import Survey


def read_survey(root: Path, wanted: BoxFormat | None, images: Path | None = None) -> Survey:
    """The folder's survey. wanted: its format, None to see; images: COCO's and CSV's photos. Raises UserError."""
    found = wanted or found_format(root)
    if found == "voc":
        return read_voc_survey(root)
    if found == "yolo":
        return read_yolo_survey(root)
    return read_coco_survey(root, images) if found == "coco" else read_csv_survey(root, images)
