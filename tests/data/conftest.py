from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detect.data.annotations import Annotations, ImageAnnotation, pack

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not on this machine")
    return SHARED


def write_photo(path: Path, size: tuple[int, int] = (40, 60), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    assert cv2.imwrite(str(path), cv2.resize(pixels, (size[1], size[0])))
    return path


def voc_object(name: str, *corners: object, extra: str = "<difficult>0</difficult>") -> str:
    tags = "".join(f"<{tag}>{c}</{tag}>" for tag, c in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
    return f"<object><name>{name}</name>{extra}<bndbox>{tags}</bndbox></object>"


@pytest.fixture
def voc(tmp_path: Path) -> Callable[..., Path]:
    """Write a VOC folder: image name -> the XML of its objects, all 60 x 40, listed in ``train``."""

    def write(objects: Mapping[str, str], folder: str = "voc", size: str = "", lists: str = "train") -> Path:
        root = tmp_path / folder
        for child in ("Annotations", "ImageSets/Main", "JPEGImages"):
            (root / child).mkdir(parents=True, exist_ok=True)
        size = size or "<size><width>60</width><height>40</height><depth>3</depth></size>"
        for stem, xml in objects.items():
            (root / "Annotations" / f"{stem}.xml").write_text(f"<annotation>{size}{xml}</annotation>")
            write_photo(root / "JPEGImages" / f"{stem}.jpg")
        (root / "ImageSets" / "Main" / f"{lists}.txt").write_text("".join(f"{stem}\n" for stem in objects))
        return root

    return write


def coco_document(
    annotations: Sequence[dict[str, Any]],
    images: Sequence[str] = ("a.jpg", "b.jpg"),
    names: Sequence[str] = ("cat", "dog"),
) -> dict[str, Any]:
    """Categories with the ids 3, 13, 23, ...; images with the ids 7, 17, ..., 60 x 40."""
    return {
        "images": [{"id": 7 + 10 * i, "file_name": name, "width": 60, "height": 40} for i, name in enumerate(images)],
        "categories": [{"id": 3 + 10 * i, "name": name} for i, name in enumerate(names)],
        "annotations": list(annotations),
    }


@pytest.fixture
def coco(tmp_path: Path) -> Callable[[Any], Path]:
    """Write a COCO folder: instances.json and images/ with every photo that it names inside."""

    def write(document: Any, folder: str = "coco") -> Path:
        root = tmp_path / folder
        (root / "images").mkdir(parents=True, exist_ok=True)
        for record in document.get("images", []) if isinstance(document, dict) else []:
            name = record.get("file_name") if isinstance(record, dict) else None
            if isinstance(name, str) and ".." not in name and not name.startswith("/"):
                write_photo(root / "images" / name)
        (root / "instances.json").write_text(json.dumps(document))
        return root

    return write


@pytest.fixture
def photos(tmp_path: Path) -> Annotations:
    """Ten photos in three shapes with 0 to 3 objects of 2 classes."""
    images = []
    for i in range(10):
        size = [(40, 60), (60, 40), (50, 50)][i % 3]
        draw = np.random.default_rng(i)
        first = draw.uniform(0, 20, (i % 4, 2))
        boxes = np.concatenate([first, first + draw.uniform(5, 19, (i % 4, 2))], axis=1)
        images.append(
            ImageAnnotation(
                file=str(write_photo(tmp_path / "photos" / f"p{i}.png", size, i)),
                image_id=100 + i,
                size=size,
                boxes=boxes,
                labels=draw.integers(1, 3, i % 4),
                difficult=draw.random(i % 4) < 0.5,
                crowd=np.zeros(i % 4, bool),
                areas=np.ones(i % 4),
            )
        )
    return pack(images, ["cat", "dog"])
