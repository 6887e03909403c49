"""Small data sets on disk, in the formats that detect reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np


def write_image(path: Path, size: tuple[int, int] = (40, 60), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    assert cv2.imwrite(str(path), cv2.resize(pixels, (size[1], size[0])))
    return path


def voc_object(name: str, *corners: object, extra: str = "<difficult>0</difficult>") -> str:
    tags = "".join(f"<{tag}>{c}</{tag}>" for tag, c in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
    return f"<object><name>{name}</name>{extra}<bndbox>{tags}</bndbox></object>"


def coco_document(
    annotations: Sequence[dict[str, Any]],
    images: Sequence[str] = ("a.jpg", "b.jpg"),
    names: Sequence[str] = ("cat", "dog"),
) -> dict[str, Any]:
    """Return a COCO file: categories with the ids 3, 13, 23, ...; images with the ids 7, 17, ..., 60 x 40."""
    return {
        "images": [{"id": 7 + 10 * i, "file_name": name, "width": 60, "height": 40} for i, name in enumerate(images)],
        "categories": [{"id": 3 + 10 * i, "name": name} for i, name in enumerate(names)],
        "annotations": list(annotations),
    }
