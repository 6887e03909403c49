from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detect.data.annotations import Annotations, ImageAnnotation
from tests.data.folders import write_image

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shared() -> Path:
    """Return the folder of real data, in the repository or beside it."""
    for folder in (_ROOT / "shared", _ROOT.parent / "shared"):
        if folder.is_dir():
            return folder
    pytest.skip(f"{_ROOT.parent / 'shared'} is not on this machine")


@pytest.fixture
def voc(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a VOC folder: image name -> XML of its objects; all 60 x 40, in split ``train``."""

    def write(objects: Mapping[str, str], folder: str = "voc", size: str = "", lists: str = "train") -> Path:
        root = tmp_path / folder
        for child in ("Annotations", "ImageSets/Main", "JPEGImages"):
            (root / child).mkdir(parents=True, exist_ok=True)
        size = size or "<size><width>60</width><height>40</height><depth>3</depth></size>"
        for stem, xml in objects.items():
            (root / "Annotations" / f"{stem}.xml").write_text(f"<annotation>{size}{xml}</annotation>")
            write_image(root / "JPEGImages" / f"{stem}.jpg")
        (root / "ImageSets" / "Main" / f"{lists}.txt").write_text("".join(f"{stem}\n" for stem in objects))
        return root

    return write


@pytest.fixture
def coco(tmp_path: Path) -> Callable[[Any], Path]:
    """Return a function that writes a COCO folder: instances.json, and images/ with every image that it names."""

    def write(document: Any, folder: str = "coco") -> Path:
        root = tmp_path / folder
        (root / "images").mkdir(parents=True, exist_ok=True)
        for record in document.get("images", []) if isinstance(document, dict) else []:
            name = record.get("file_name") if isinstance(record, dict) else None
            if isinstance(name, str) and ".." not in name and not name.startswith("/"):
                write_image(root / "images" / name)
        (root / "instances.json").write_text(json.dumps(document))
        return root

    return write


@pytest.fixture
def images(tmp_path: Path) -> Annotations:
    """Return ten images of three sizes with 0 to 3 objects of 2 classes."""
    images = []
    for i in range(10):
        size = [(40, 60), (60, 40), (50, 50)][i % 3]
        rng = np.random.default_rng(i)
        first = rng.uniform(0, 20, (i % 4, 2))
        boxes = np.concatenate([first, first + rng.uniform(5, 19, (i % 4, 2))], axis=1)
        images.append(
            ImageAnnotation(
                file=str(write_image(tmp_path / "photos" / f"p{i}.png", size, i)),
                image_id=100 + i,
                size=size,
                boxes=boxes,
                labels=rng.integers(1, 3, i % 4),
                difficult=rng.random(i % 4) < 0.5,
                crowd=np.zeros(i % 4, bool),
                areas=np.ones(i % 4),
            )
        )
    return Annotations.from_images(images, ["cat", "dog"])
