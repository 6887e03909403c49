"""A folder in any of the formats, to one survey."""

from __future__ import annotations

from pathlib import Path

from detect.errors import UserError
from detect.files import existing_folder
from detect.inspection.reading_coco import read_coco_survey
from detect.inspection.reading_voc import read_voc_survey
from detect.inspection.records import Format, Survey


def read_survey(root: Path, wanted: Format | None, images: Path | None = None) -> Survey:
    """The folder's survey. wanted: its format, None to see; images: COCO's folder of photos. Raises UserError."""
    found = wanted or format_of(root)
    if found == "voc":
        return read_voc_survey(root)
    return read_coco_survey(root, images)


def format_of(root: Path) -> Format:
    """The one format that the folder looks like. Raises UserError where that is none or several."""
    existing_folder(root, "a folder of labelled photos")
    signs: dict[Format, bool] = {
        "voc": (root / "Annotations").is_dir(),
        "coco": any(root.glob("*.json")) or any(root.glob("annotations/*.json")),
    }
    found = [name for name, there in signs.items() if there]
    if len(found) != 1:
        seen = " and ".join(found) or "none of them"
        raise UserError(f"{root}: expected the files of one format ({', '.join(signs)}), found {seen}: give --format")
    return found[0]
