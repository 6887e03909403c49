"""Detections as pre-annotations of labelling tools: Label Studio's tasks and CVAT's XML."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import cv2
import numpy as np

from detect.data.image_names import relative_to_shared_folder
from detect.data.masks import RleMask, decode
from detect.errors import UserError
from detect.evaluation.predictions import Prediction
from detect.system.files import write_text

_MIN_POINTS = 3  # of a polygon


def write_label_studio(folder: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Write ``tasks.json``, Label Studio's tasks with predictions, and ``config.xml``, its labelling interface.

    A box is a rectangle, a mask the polygons around its parts (without holes), in percent of the upright image, each
    with its score; a detection whose mask has no pixel is its box. An image is ``/data/local-files/?d=PATH``, the path
    from the parent of the folder that all images share: Label Studio refuses its document root itself as a local
    storage, and takes a folder in it (``local_files``).
    """
    names = relative_to_shared_folder([prediction.file for prediction in predictions])
    prefix = shared_folder([prediction.file for prediction in predictions]).name if predictions else ""
    tasks = [
        {
            "data": {"image": f"/data/local-files/?d={quote(f'{prefix}/{name}'.lstrip('/'))}"},
            "predictions": [
                {
                    "model_version": "detect",
                    "score": float(prediction.scores.mean()) if len(prediction) else 0.0,
                    "result": list(_label_studio_regions(prediction, classes)),
                }
            ],
        }
        for name, prediction in zip(names, predictions, strict=True)
    ]
    has_masks = any(prediction.masks is not None for prediction in predictions)
    write_text(folder / "tasks.json", json.dumps(tasks, indent=1, ensure_ascii=False) + "\n")
    write_text(folder / "config.xml", _label_studio_config(classes, has_masks))


def shared_folder(files: Sequence[str]) -> PurePath:
    """Return the deepest folder that contains all files, of which there is at least one."""
    return PurePath(os.path.commonpath([PurePath(os.path.abspath(file)).parent for file in files]))  # noqa: PTH100 - links stay links


def local_files(files: Sequence[str]) -> str:
    """Return the line on how Label Studio gets to the images of its tasks (labelstud.io/guide/storage)."""
    folder = shared_folder(files)
    names = ("LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true", f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={folder.parent}")
    return f"label-studio: start it with {' '.join(names)}, and add {folder} as its local storage"


def _label_studio_regions(prediction: Prediction, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the regions of each detection, best first: the outlines of its mask, or its box where it has none."""
    size = {"original_width": prediction.width, "original_height": prediction.height, "image_rotation": 0}
    for index in np.argsort(-prediction.scores, kind="stable").tolist():
        name = classes[int(prediction.labels[index]) - 1]
        common = {**size, "to_name": "image", "score": float(prediction.scores[index])}
        outlines = [] if prediction.masks is None else _outlines(prediction.masks[index])
        for part, points in enumerate(outlines):
            percent = (points * (100 / prediction.width, 100 / prediction.height)).tolist()
            yield {
                **common,
                **({"parentID": f"{index}-0"} if part else {}),  # by which the parts are one object again
                "id": f"{index}-{part}",
                "from_name": "mask",
                "type": "polygonlabels",
                "value": {"points": percent, "closed": True, "polygonlabels": [name]},
            }
        if not outlines:
            yield {
                **common,
                "id": str(index),
                "from_name": "box",
                "type": "rectanglelabels",
                "value": {**_percent_box(prediction, index), "rotation": 0, "rectanglelabels": [name]},
            }


def _percent_box(prediction: Prediction, index: int) -> dict[str, float]:
    """Return the first corner and the sides of a box in percent of the image."""
    x1, y1, x2, y2 = prediction.boxes[index].tolist()
    return {
        "x": 100 * x1 / prediction.width,
        "y": 100 * y1 / prediction.height,
        "width": 100 * (x2 - x1) / prediction.width,
        "height": 100 * (y2 - y1) / prediction.height,
    }


def _label_studio_config(classes: Sequence[str], has_masks: bool) -> str:
    """Return the labelling interface: rectangles, and polygons where there are masks."""
    view = Element("View")
    SubElement(view, "Image", name="image", value="$image")
    controls = [("RectangleLabels", "box"), *([("PolygonLabels", "mask")] if has_masks else [])]
    for tag, control in controls:
        labels = SubElement(view, tag, name=control, toName="image")
        for name in classes:
            SubElement(labels, "Label", value=name)
    return _to_text(view)  # without an XML declaration, which Label Studio refuses


def _outlines(mask: RleMask) -> list[np.ndarray]:
    """Return the outline (P, 2) of each part of a mask, in continuous pixels x y, the largest part first.

    Drawn through the corners of pixels, by enlarging the bitmap twice: OpenCV's outlines run through the centers of
    pixels, which would take half a pixel from each side. A part of fewer than three points has none.
    """
    bitmap = decode(mask, mask.size).astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours = cv2.findContours(bitmap, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    parts = [np.asarray(part, np.float64).reshape(-1, 2) for part in contours]
    centers = [part for part in parts if len(part) >= _MIN_POINTS]
    return [part / 2 + 0.25 for part in sorted(centers, key=_area, reverse=True)]


def _area(points: np.ndarray) -> float:
    x, y = points.T
    return abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2


def write_cvat(path: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Write ``annotations.xml``, "CVAT for images 1.1": boxes, or masks as run lengths, with the attribute ``score``.

    A detection whose mask has no pixel is its box. An image is named by its path below the folder that all images
    share, by which CVAT finds it in a task. The score is shown where the labels of the task have a number attribute
    ``score``; other programs read it from the file. Raises UserError for a name that XML cannot hold.
    """
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    labels = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    for name in classes:
        label = SubElement(labels, "label")
        SubElement(label, "name").text = name
        attribute = SubElement(SubElement(label, "attributes"), "attribute")
        texts = {
            "name": "score",
            "mutable": "False",
            "input_type": "number",
            "default_value": "0",
            "values": "0;1;0.01",
        }
        for tag, text in texts.items():
            SubElement(attribute, tag).text = text
    names = relative_to_shared_folder([prediction.file for prediction in predictions])
    for index, (name, prediction) in enumerate(zip(names, predictions, strict=True)):
        if not name.isprintable():
            raise UserError(f"cvat: expected names of images that XML can hold, found {name!r}")
        attributes = {"id": str(index), "name": name, "width": str(prediction.width), "height": str(prediction.height)}
        _add_cvat_shapes(SubElement(root, "image", attributes), prediction, classes)
    write_text(path, '<?xml version="1.0" encoding="utf-8"?>\n' + _to_text(root))


def _add_cvat_shapes(image: Element, prediction: Prediction, classes: Sequence[str]) -> None:
    for index in np.argsort(-prediction.scores, kind="stable").tolist():
        common = {
            "label": classes[int(prediction.labels[index]) - 1],
            "source": "auto",
            "occluded": "0",
            "z_order": "0",
        }
        window = None if prediction.masks is None else _cvat_window(prediction.masks[index])
        if window is None:
            corners = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(repr, prediction.boxes[index].tolist()), strict=True))
            shape = SubElement(image, "box", common | corners)
        else:
            shape = SubElement(image, "mask", common | window)
        SubElement(shape, "attribute", name="score").text = repr(float(prediction.scores[index]))


def _cvat_window(mask: RleMask) -> dict[str, str] | None:
    """Return a mask as CVAT's run lengths of its window, row by row, uncovered and covered in turn; None if empty."""
    bitmap = decode(mask, mask.size)
    rows, columns = np.flatnonzero(bitmap.any(axis=1)), np.flatnonzero(bitmap.any(axis=0))
    if not len(rows):
        return None
    window = bitmap[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    runs = [(bool(covered), len(list(pixels))) for covered, pixels in groupby(window.ravel().tolist())]
    lengths = [0, *(length for _, length in runs)] if runs[0][0] else [length for _, length in runs]
    return {
        "rle": ", ".join(map(str, lengths)),
        "left": str(columns[0]),
        "top": str(rows[0]),
        "width": str(window.shape[1]),
        "height": str(window.shape[0]),
    }


def _to_text(root: Element) -> str:
    indent(root)
    return tostring(root, encoding="unicode") + "\n"
