"""Lists of class names in CSV beside the boxes: OpenImages' ``class-descriptions-boxable.csv``, RetinaNet's classes.

OpenImages labels boxes by machine ids, such as ``/m/01yrx``, and lists the name of each in a file of its own
(storage.googleapis.com/openimages/web/download_v7.html, "Class names"). RetinaNet's list has a name and a number in
each row (github.com/fizyr/keras-retinanet, "CSV datasets"); labels are names there, so that it is not needed.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from detect.data.formats.label_text import class_name
from detect.system.files import text_lines

_NAMES = ("classes.csv", "class_list.csv", "class-list.csv", "class_map.csv")
_OPEN_IMAGES = "class-descriptions"


def is_class_list(file: Path) -> bool:
    """Return True if the name of a CSV file says that it lists classes, not boxes."""
    return file.name.lower() in _NAMES or _OPEN_IMAGES in file.name.lower()


def read_descriptions(folder: Path) -> Mapping[str, str]:
    """Return the name of each machine id in the class descriptions of a folder; empty without such a file."""
    files = [file for file in sorted(folder.glob("*.csv")) if _OPEN_IMAGES in file.name.lower()]
    rows = [row for file in files for row in csv.reader(text_lines(file))]
    return {row[0].strip(): class_name(row[1].strip()) for row in rows if len(row) == 2 and row[0].startswith("/")}
