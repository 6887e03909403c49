"""The annotation tools whose exported files are read, and how their files are known in a folder."""

from __future__ import annotations

from pathlib import Path

from detect.data.formats.annotation_files import files_in_split_folders
from detect.data.formats.cvat_xml import is_cvat, read_cvat
from detect.data.formats.label_studio_json import is_label_studio, read_label_studio
from detect.data.formats.tool_labels import Tool

_MAX_FILES = 50  # a folder of more XML files has one for each image, which is VOC


def cvat_files(root: Path) -> list[Path]:
    """Return CVAT's files in a folder, in its ``annotations``, or in its folders as ``annotations.xml``, sorted.

    Without any there, those of folders named for splits.
    """
    for pattern in ("*.xml", "annotations/*.xml", "*/annotations.xml"):
        files = sorted(file for file in root.glob(pattern) if file.is_file())
        known = [file for file in files if is_cvat(file)] if len(files) <= _MAX_FILES else []
        if known:
            return known
    return [file for file in files_in_split_folders(root, "xml") if is_cvat(file)]


def label_studio_files(root: Path) -> list[Path]:
    """Return Label Studio's lists of tasks in a folder, or in its ``annotations``, sorted.

    Without any there, those of folders named for splits.
    """
    for pattern in ("*.json", "annotations/*.json"):
        known = [file for file in sorted(root.glob(pattern)) if file.is_file() and is_label_studio(file)]
        if known:
            return known
    return [file for file in files_in_split_folders(root, "json") if is_label_studio(file)]


CVAT = Tool(title="CVAT", suffix=".xml", has_subsets=True, list_files=cvat_files, read_file=read_cvat)
LABEL_STUDIO = Tool(
    title="Label Studio",
    suffix=".json",
    has_subsets=False,
    list_files=label_studio_files,
    read_file=read_label_studio,
)
