"""Folders of one photo whose objects have masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

Objects = list[tuple[str, list[float]]]  # name and box, which the mask fills


def write_voc(root: Path, image: Path, objects: Objects) -> Path:
    for folder in ("Annotations", "JPEGImages", "SegmentationObject"):
        (root / folder).mkdir(parents=True)
    rgb = Image.open(image)
    rgb.save(root / "JPEGImages" / "a.jpg", quality=95)
    values, parts = np.zeros((rgb.height, rgb.width), np.uint8), ""
    for index, (name, (x1, y1, x2, y2)) in enumerate(objects, 1):
        values[round(y1) : round(y2), round(x1) : round(x2)] = index
        corners = zip(("xmin", "ymin", "xmax", "ymax"), (x1 + 1, y1 + 1, x2, y2), strict=True)
        box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in corners)
        escaped = name.replace("<", "&lt;").replace(">", "&gt;")
        parts += f"<object><name>{escaped}</name><bndbox>{box}</bndbox></object>"
    Image.fromarray(values).save(root / "SegmentationObject" / "a.png")
    (root / "Annotations" / "a.xml").write_text(f"<annotation>{parts}</annotation>", encoding="utf-8")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "val.txt").write_text("none\na\n")
    return root


def write_coco(root: Path, image: Path, objects: Objects) -> Path:
    (root / "annotations").mkdir(parents=True)
    (root / "val").mkdir()
    rgb = Image.open(image).convert("RGB")
    rgb.save(root / "val" / "a.jpg", quality=95)
    ids = {name: index for index, name in enumerate(sorted({name for name, _ in objects}), 1)}
    annotations = [
        {
            "id": index,
            "image_id": 7,
            "category_id": ids[name],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
            "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
        }
        for index, (name, (x1, y1, x2, y2)) in enumerate(objects, 1)
    ]
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": rgb.width, "height": rgb.height}],
        "categories": [{"id": index, "name": name} for name, index in ids.items()],
        "annotations": annotations,
    }
    (root / "annotations" / "instances_val.json").write_text(json.dumps(content))
    return root
