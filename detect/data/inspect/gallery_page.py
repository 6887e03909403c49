"""Writes the output of ``detect data show``: one self-contained HTML page, and image grids."""

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

from detect.data.inspect.gallery import GalleryImage, GalleryView
from detect.data.loading.transforms import resize_masks
from detect.draw import LabeledBoxes, class_color, draw_detections, image_grid, paint_masks, save_image
from detect.system.files import write_text

_JPEG_QUALITY = 82
_COLUMNS, _ROWS = 4, 3
_THUMBNAIL_SIDE = 360  # pixels
_PLACEHOLDER = "{{data}}"


def write_gallery_page(
    file: Path, title: str, note: str, images: Sequence[GalleryImage], classes: Sequence[str]
) -> None:
    """Write the page. It receives names as JSON and inserts them as text, never as markup."""
    content = {
        "title": title,
        "note": note,
        "classes": [
            {"name": name, "color": "#" + bytes(class_color(label)).hex()}
            for label, name in enumerate(classes, start=1)
        ],
        "images": [
            {"file": Path(image.file).name, "views": [_view_to_dict(view) for view in (image.before, *image.after)]}
            for image in images
        ],
    }
    template = (files("detect.data.inspect") / "page.html").read_text(encoding="utf-8")
    content_json = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")  # "</script>" would end the data
    write_text(file, template.replace(_PLACEHOLDER, content_json))


def _view_to_dict(view: GalleryView) -> dict[str, Any]:
    rgb = view.rgb if view.masks is None else paint_masks(view.rgb, view.masks, view.labels)
    ok, jpeg = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert ok  # encoding cannot fail for an image of at most 560 pixels
    objects = zip(view.boxes, view.labels, view.difficult, view.crowd, strict=True)
    return {
        "src": "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode(),
        "width": view.rgb.shape[1],
        "height": view.rgb.shape[0],
        "objects": [
            {
                "box": [round(float(coordinate), 1) for coordinate in box],
                "class": int(label) - 1,
                "mark": "difficult" if difficult else "crowd" if crowd else "",
            }
            for box, label, difficult, crowd in objects
        ],
    }


def write_image_grids(folder: Path, images: Sequence[GalleryImage], classes: Sequence[str]) -> list[Path]:
    """Write ``sheet-1.jpg`` and so on, with 12 images and their boxes on each, and return their paths."""
    thumbnails = [_thumbnail(image.before, classes) for image in images]
    images_per_grid = _COLUMNS * _ROWS
    num_grids = math.ceil(len(thumbnails) / images_per_grid)
    grids = [folder / f"sheet-{i + 1:0{len(str(num_grids))}}.jpg" for i in range(num_grids)]
    for i, grid in enumerate(grids):
        save_image(grid, image_grid(thumbnails[i * images_per_grid : (i + 1) * images_per_grid], _COLUMNS))
    return grids


def _thumbnail(view: GalleryView, classes: Sequence[str]) -> np.ndarray:
    """Return the view shrunk, with its boxes drawn. Shrinking comes first, so that the captions stay legible."""
    scale = min(1.0, _THUMBNAIL_SIDE / max(view.rgb.shape[:2]))
    rgb = cv2.resize(view.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    scales = np.asarray([rgb.shape[1] / view.rgb.shape[1], rgb.shape[0] / view.rgb.shape[0]] * 2)
    masks = None if view.masks is None else resize_masks(view.masks, (rgb.shape[0], rgb.shape[1]))
    return draw_detections(np.asarray(rgb), LabeledBoxes(view.boxes * scales, view.labels, masks=masks), classes)
