"""Writes the files of labelled folders: images of several kinds, and VOC, COCO and YOLO labels of their boxes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from detect.data.image_kinds import SUFFIXES

Box = tuple[float, float, float, float]
WIDTH, HEIGHT = 96, 64
BOX: Box = (10, 12, 40, 44)
_FORMATS = Image.registered_extensions()  # of Pillow, by suffix
WRITABLE_SUFFIXES = frozenset(suffix for suffix in SUFFIXES if _FORMATS.get(suffix) in Image.SAVE)


def write_image(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), orientation: int = 1) -> Path:
    """Write an image of ``size`` (w, h) upright, as its suffix says; orientation: of EXIF, 6 for a turned one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size[::-1] if orientation >= 5 else size
    coarse = np.random.default_rng(len(str(path.name)) + sum(path.name.encode())).integers(0, 256, (4, 5, 3), np.uint8)
    image = Image.fromarray(coarse).resize((width, height))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, format=_FORMATS[path.suffix.lower()], **({"exif": exif} if orientation > 1 else {}))
    return path


def write_files(root: Path, files: Mapping[str, str]) -> Path:
    """Write texts by path, and an image for each path whose text is the word image."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text == "image":
            write_image(path)
        else:
            path.write_text(text, encoding="utf-8")
    return root


def voc(
    file_name: str = "", boxes: Sequence[Box] = (BOX,), size: tuple[int, int] = (WIDTH, HEIGHT), name: str = "cat"
) -> str:
    """A VOC annotation of continuous ``boxes``; size: (w, h) as it states it."""
    corners = [(x1 + 1, y1 + 1, x2, y2) for x1, y1, x2, y2 in boxes]
    tags = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{tag}>{value}</{tag}>" for tag, value in zip(tags, box, strict=True))
        + "</bndbox></object>"
        for box in corners
    )
    named = f"<filename>{file_name}</filename>" if file_name else ""
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    return f"<annotation>{named}{stated}{objects}</annotation>"


def coco(
    images: Sequence[tuple[str, tuple[int, int]]],
    objects: Sequence[tuple[int, int, Box]],
    categories: Sequence[Mapping[str, Any]] = ({"id": 1, "name": "cat"},),
) -> str:
    """A COCO file: images (name, (w, h)) with the ids 1, 2, ...; objects (image id, category id, box)."""
    annotations = [
        {"id": i, "image_id": image_id, "category_id": category_id, "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0}
        for i, (image_id, category_id, (x1, y1, x2, y2)) in enumerate(objects, start=1)
    ]
    return json.dumps(
        {
            "images": [
                {"id": i, "file_name": name, "width": size[0], "height": size[1]}
                for i, (name, size) in enumerate(images, start=1)
            ],
            "annotations": annotations,
            "categories": list(categories),
        }
    )


def yolo(box: Box = BOX, size: tuple[int, int] = (WIDTH, HEIGHT), label: int = 0) -> str:
    """A line of YOLO's for one box in an image of ``size`` (w, h)."""
    x1, y1, x2, y2 = box
    width, height = size
    center = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height)
    return f"{label} {center[0]} {center[1]} {(x2 - x1) / width} {(y2 - y1) / height}\n"
