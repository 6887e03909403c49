"""What ``detect data show`` writes: one HTML page that needs nothing else, and contact sheets."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from detect.data.inspect.gallery import ShownImage, View
from detect.draw import Marks, class_colour, contact_sheet, draw_detections, save_image
from detect.system.files import write_text

_QUALITY = 82
_COLUMNS, _ROWS = 4, 3
_THUMBNAIL = 360  # pixels
_DATA = "{{data}}"


def write_page(file: Path, title: str, note: str, images: Sequence[ShownImage], classes: Sequence[str]) -> None:
    """The page. Names come to it as JSON and reach it as text, never as markup."""
    content = {
        "title": title,
        "note": note,
        "classes": [
            {"name": name, "colour": "#" + bytes(class_colour(label)).hex()}
            for label, name in enumerate(classes, start=1)
        ],
        "images": [
            {"file": Path(image.file).name, "views": [_plain(view) for view in (image.before, *image.after)]}
            for image in images
        ],
    }
    template = (files("detect.data.inspect") / "page.html").read_text(encoding="utf-8")
    data = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")  # "</script>" would end the data
    write_text(file, template.replace(_DATA, data))


def _plain(view: View) -> dict[str, Any]:
    done, jpeg = cv2.imencode(".jpg", cv2.cvtColor(view.rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done  # of a picture of at most 560 pixels
    objects = zip(view.boxes, view.labels, view.difficult, view.crowd, strict=True)
    return {
        "src": "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode(),
        "width": view.rgb.shape[1],
        "height": view.rgb.shape[0],
        "objects": [
            {
                "box": [round(float(side), 1) for side in box],
                "class": int(label) - 1,
                "mark": "difficult" if difficult else "crowd" if crowd else "",
            }
            for box, label, difficult, crowd in objects
        ],
    }


def write_sheets(folder: Path, images: Sequence[ShownImage], classes: Sequence[str]) -> list[Path]:
    """``sheet-1.jpg`` and so on: 12 images on each, with their boxes."""
    pictures = [_thumbnail(image.before, classes) for image in images]
    on_each = _COLUMNS * _ROWS
    count = math.ceil(len(pictures) / on_each)
    sheets = [folder / f"sheet-{number:0{len(str(count))}}.jpg" for number in range(1, count + 1)]
    for place, sheet in enumerate(sheets):
        save_image(sheet, contact_sheet(pictures[place * on_each : (place + 1) * on_each], _COLUMNS))
    return sheets


def _thumbnail(view: View, classes: Sequence[str]) -> np.ndarray:
    """Shrunk before the boxes are drawn, so that their captions stay legible."""
    scale = min(1.0, _THUMBNAIL / max(view.rgb.shape[:2]))
    rgb = cv2.resize(view.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    scales = np.asarray([rgb.shape[1] / view.rgb.shape[1], rgb.shape[0] / view.rgb.shape[0]] * 2)
    return draw_detections(np.asarray(rgb), Marks(view.boxes * scales, view.labels), classes)
