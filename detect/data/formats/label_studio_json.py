"""Parses Label Studio's own JSON export: a list of tasks, each an image and what its annotators drew.

Of a task the annotation that is marked as ground truth counts, else the latest that was not skipped, as in Label
Studio's own converter (label_studio_sdk, converter.py). Predictions of models are no labels until somebody accepts
them. The fields are those of labelstud.io/guide/task_format.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from detect.data.formats.label_studio_regions import is_region, read_regions
from detect.data.formats.report import Report
from detect.data.formats.tool_labels import ReportShape, ToolFile, ToolShape, relative_path
from detect.data.images import is_image
from detect.errors import UserError, shorten
from detect.system.files import read_json_file
from detect.types import Size

_HEAD = 1 << 16  # bytes
_TASKS = re.compile(rb'"(annotations|completions|predictions)"\s*:\s*\[')  # completions: before version 1.0
_CONTENT = re.compile(rb'"result"\s*:\s*\[|"data"\s*:\s*\{')  # CreateML's lists of annotations have neither
_MIN = re.compile(rb'"annotation_id"\s*:')
_LOCAL_FILE = "?d="  # /data/local-files/?d=folder/a.jpg


@dataclass(frozen=True)
class LabelStudioTask:
    """An annotated task; the properties are those of ``ToolImage``; regions: the records of its annotation."""

    location: str
    path: PurePosixPath
    declared_size: Size | None
    num_unread: int
    regions: tuple[Any, ...]
    file: Path
    subset: str = ""

    def shapes(self, size: Size | None, report_shape: ReportShape) -> list[ToolShape]:
        """Return the shapes in pixels of ``size`` (h, w), in percent where it is not known, and report damaged ones."""
        return read_regions(self.file, self.location, self.regions, size or (100, 100), report_shape)


def is_label_studio(file: Path) -> bool:
    """Return True if a file starts like Label Studio's list of tasks."""
    head = _head(file)
    return head.startswith(b"[") and _TASKS.search(head) is not None and _CONTENT.search(head) is not None


def is_label_studio_min(file: Path) -> bool:
    """Return True if a file starts like Label Studio's JSON-MIN, which is not read."""
    head = _head(file)
    return head.startswith(b"[") and _MIN.search(head) is not None and not is_label_studio(file)


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_HEAD).removeprefix(codecs.BOM_UTF8).lstrip()


def read_label_studio(file: Path, report: Report) -> ToolFile:
    """Return the tasks of a file, annotated or not; damaged ones are reported. Raises UserError.

    It is raised if the file is another, or if no task of it is annotated.
    """
    tasks = read_json_file(file, "tasks of Label Studio")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "data" in task for task in tasks):
        cure = ": export as JSON, not JSON-MIN" if is_label_studio_min(file) else ""
        raise UserError(f'{file}: expected a list of tasks with "data" and "annotations", found another{cure}')
    images: list[LabelStudioTask] = []
    unlabeled: list[tuple[str, PurePosixPath | None, str]] = []
    num_repeated = 0
    for index, task in enumerate(tasks, start=1):
        location = f"task {task.get('id', index)}"
        annotations, path = _submitted(task), None
        if not annotations:
            with contextlib.suppress(UserError):
                path = _image_path(file, location, task)
            unlabeled.append((location, path, _why_unlabeled(task)))
            continue
        num_repeated += len(annotations) > 1
        try:
            images.append(_parse_task(file, location, task, _best(annotations)))
        except UserError as error:
            report.add_error("damaged-annotation", file, location, error)
    if unlabeled and len(unlabeled) == len(tasks):
        cure = "accept them in Label Studio, or label there, and export again"
        raise UserError(f"{file}: expected annotations, found none in {len(tasks)} tasks, predictions at best: {cure}")
    if num_repeated:
        taken = "the one of the ground truth counts, else the latest"
        report.note("dialect", file, "", f"{num_repeated} tasks have several annotations: {taken}")
    return ToolFile(tuple(images), None, tuple(unlabeled))


def _submitted(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the annotations of a task that were not skipped."""
    records = task.get("annotations", task.get("completions"))
    annotations = [record for record in records if isinstance(record, dict)] if isinstance(records, list) else []
    return [record for record in annotations if not record.get("was_cancelled") and not record.get("skipped")]


def _best(annotations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the annotation marked as ground truth, else the latest, by the time of its creation."""
    return max(annotations, key=lambda record: (bool(record.get("ground_truth")), str(record.get("created_at") or "")))


def _why_unlabeled(task: dict[str, Any]) -> str:
    """Return why a task has no annotation that counts."""
    if task.get("annotations", task.get("completions")):
        return "skipped by its annotator"
    return "no annotation, only predictions that nobody accepted" if task.get("predictions") else "no annotation"


def _parse_task(file: Path, location: str, task: dict[str, Any], annotation: dict[str, Any]) -> LabelStudioTask:
    """Return a task with the regions of one annotation. Raises UserError."""
    records = annotation.get("result") or []
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise UserError(f'{file}: {location}: "result": expected a list of regions, found {shorten(records)}')
    regions = [record for record in records if is_region(record)]
    degrees = {record.get("image_rotation") or 0 for record in regions} - {0}
    if degrees:
        cure = "turn the photo back in Label Studio, or turn the file and label that"
        raise UserError(f'{file}: {location}: "image_rotation": expected 0, found {degrees.pop()}: {cure}')
    path = _image_path(file, location, task)
    _require_regions_of(path, file, location, task, regions)
    answers = [record for record in records if not is_region(record)]
    return LabelStudioTask(
        location=location,
        path=path,
        declared_size=_parse_size(regions),
        num_unread=sum("from_name" in record for record in answers),  # relations of regions have no name
        regions=tuple(regions),
        file=file,
    )


def _image_path(file: Path, location: str, task: dict[str, Any]) -> PurePosixPath:
    """Return the path of the image of a task. Raises UserError if it has none, or several."""
    fields = task["data"] if isinstance(task["data"], dict) else {}
    paths = {key: image_path(text) for key, text in fields.items() if isinstance(text, str)}
    images = {key: path for key, path in paths.items() if is_image(Path(path))}
    distinct = [images["image"]] if "image" in images else list(dict.fromkeys(images.values()))
    if len(distinct) != 1:
        actual = f"{len(distinct)} images" if distinct else shorten(fields)
        raise UserError(f'{file}: {location}: "data": expected the address of one image, found {actual}')
    return distinct[0]


def _require_regions_of(
    path: PurePosixPath, file: Path, location: str, task: dict[str, Any], regions: Sequence[dict[str, Any]]
) -> None:
    """Raise UserError if regions of a task may be of another image than ``path``.

    A region names the tag that shows its image (``to_name``), mostly as the field of "data" is named, and its page
    (``item_index``, from 0) where the tag shows a list of images.
    """
    fields = task["data"] if isinstance(task["data"], dict) else {}
    others = {key for key, content in fields.items() if any(other != path for other in _listed_images(content))}
    tags = {str(record["to_name"]) for record in regions if record.get("to_name")}
    pages = {str(record["item_index"]) for record in regions if record.get("item_index") is not None}
    problems = [f"those shown by {' and '.join(sorted(tags))}"] if others and (len(tags) > 1 or tags & others) else []
    problems += [f"those of page {' and '.join(sorted(pages))}, from 0"] if pages - {"0"} or (pages and others) else []
    if problems:
        expected = f"expected regions of {path.name} alone, found {', '.join(problems)}"
        raise UserError(f"{file}: {location}: {expected}: label each image in a task of its own")


def _listed_images(content: Any) -> list[PurePosixPath]:
    """Return the paths of the images in a field of a task: an address, or a list of addresses."""
    texts = content if isinstance(content, list) else [content]
    paths = [image_path(text) for text in texts if isinstance(text, str)]
    return [path for path in paths if is_image(Path(path))]


def image_path(address: str) -> PurePosixPath:
    """Return the path in the address of an image, without what comes before it.

    Addresses are /data/upload/1/ab12cd34-a.jpg, /data/local-files/?d=folder/a.jpg, s3://bucket/a.jpg, and others.
    """
    if _LOCAL_FILE in address:
        text = unquote(address.rpartition(_LOCAL_FILE)[2])
    elif "://" in address:
        text = unquote(_url_path(address))
    else:
        text = unquote(address) if address.startswith("/data/") else address
    return relative_path(text)


def _url_path(address: str) -> str:
    """Return the path in a URL; the text itself where it is a text that only begins like one."""
    try:
        return urlsplit(address).path
    except ValueError:
        return address


def _parse_size(regions: Iterable[dict[str, Any]]) -> Size | None:
    """Return the (h, w) that the first region states; None where it states none."""
    for record in regions:
        height, width = record.get("original_height"), record.get("original_width")
        if isinstance(height, int | float) and isinstance(width, int | float) and 1 <= min(height, width) < 1e9:
            return int(height), int(width)
    return None
