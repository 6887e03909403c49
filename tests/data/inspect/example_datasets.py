"""A small labelled data set without faults, in every format: 12 images of 200 x 160 with 4 objects of 2 classes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from tests.data.folders import voc_object

WIDTH, HEIGHT, NUM_IMAGES, NUM_VAL = 200, 160, 12, 4
CLASS_NAMES = ("zebra", "carrot")
Box = tuple[int, int, int, int]


def stem(index: int) -> str:
    return f"p{index:02}"


def example_boxes(index: int) -> list[tuple[str, Box]]:
    """Continuous corners; one object an image touches the left and one the right and lower edge."""
    draw = np.random.default_rng(index)
    x, y = (int(value) for value in draw.integers(0, 12, 2))
    return [
        (CLASS_NAMES[0], (0, 10 + y, 30 + x, 60 + y)),
        (CLASS_NAMES[1], (120 + x, 90 + y, WIDTH, HEIGHT)),
        (CLASS_NAMES[0], (70 + x, 15 + y, 100 + x, 40 + y)),
        (CLASS_NAMES[1], (40 + x, 100 + y, 80 + x, 130 + y)),
    ]


def draw_image(path: Path, seed: int) -> Path:
    """Draw a smooth image that differs from those of other seeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), np.uint8)
    assert cv2.imwrite(str(path), cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))
    return path


def iter_splits() -> Iterator[tuple[str, list[int]]]:
    yield "train", list(range(NUM_VAL, NUM_IMAGES))
    yield "val", list(range(NUM_VAL))


def write_voc(root: Path) -> Path:
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    for index in range(NUM_IMAGES):
        draw_image(root / "JPEGImages" / f"{stem(index)}.jpg", index)
        objects = "\n".join(voc_object(name, x1 + 1, y1 + 1, x2, y2) for name, (x1, y1, x2, y2) in example_boxes(index))
        (root / "Annotations" / f"{stem(index)}.xml").write_text(f"<annotation>{size}\n{objects}</annotation>")
    for split, members in iter_splits():
        (root / "ImageSets/Main" / f"{split}.txt").write_text("".join(f"{stem(index)}\n" for index in members))
    everything = "".join(f"{stem(index)}\n" for index in range(NUM_IMAGES))
    (root / "ImageSets/Main/trainval.txt").write_text(everything)
    return root


def write_coco(root: Path) -> Path:
    (root / "annotations").mkdir(parents=True)
    number = 1
    for split, members in iter_splits():
        annotations = []
        for index in members:
            draw_image(root / "images" / f"{stem(index)}.jpg", index)
            for name, (x1, y1, x2, y2) in example_boxes(index):
                box = [x1, y1, x2 - x1, y2 - y1]
                category = CLASS_NAMES.index(name) + 1
                annotations.append(
                    {"id": number, "image_id": index, "category_id": category, "bbox": box, "iscrowd": 0}
                )
                number += 1
        document = {
            "images": [
                {"id": index, "file_name": f"{stem(index)}.jpg", "width": WIDTH, "height": HEIGHT} for index in members
            ],
            "categories": [{"id": place, "name": name} for place, name in enumerate(CLASS_NAMES, start=1)],
            "annotations": annotations,
        }
        (root / "annotations" / f"{split}.json").write_text(json.dumps(document))
    return root


def write_yolo(root: Path) -> Path:
    for split, members in iter_splits():
        for index in members:
            draw_image(root / "images" / split / f"{stem(index)}.jpg", index)
            file = root / "labels" / split / f"{stem(index)}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(
                "".join(f"{CLASS_NAMES.index(name)} {_fractions(box)}\n" for name, box in example_boxes(index))
            )
    (root / "data.yaml").write_text(f"train: images/train\nval: images/val\nnames: [{', '.join(CLASS_NAMES)}]\n")
    return root


def _fractions(box: Box) -> str:
    x1, y1, x2, y2 = box
    values = ((x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT)
    return " ".join(f"{value:.6f}" for value in values)


def write_csv(root: Path) -> Path:
    for split, members in iter_splits():
        rows = ["file,label,x1,y1,x2,y2"]
        for index in members:
            draw_image(root / "images" / f"{stem(index)}.jpg", index)
            rows += [f"{stem(index)}.jpg,{name},{','.join(map(str, box))}" for name, box in example_boxes(index)]
        (root / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return root


def write_voc_without_folders(root: Path) -> Path:
    """VOC's XML files beside their images, without lists."""
    write_voc(root)
    for file in (*root.glob("Annotations/*"), *root.glob("JPEGImages/*")):
        target = root / "photos" / file.name
        target.parent.mkdir(exist_ok=True)
        file.rename(target)
    for folder in ("Annotations", "JPEGImages", "ImageSets"):
        shutil.rmtree(root / folder)
    return root


def write_roboflow_voc(root: Path) -> Path:
    """VOC's XML files beside their images, in a folder for each split."""
    write_voc_without_folders(root)
    for split, members in iter_splits():
        folder = root / {"val": "valid"}.get(split, split)
        folder.mkdir()
        for index in members:
            for file in list((root / "photos").glob(f"{stem(index)}.*")):
                file.rename(folder / file.name)
    (root / "photos").rmdir()
    return root


def write_labelme(root: Path) -> Path:
    """LabelMe's JSON files beside their images, in a folder for each split."""
    for split, members in iter_splits():
        for index in members:
            draw_image(root / split / f"{stem(index)}.jpg", index)
            shapes = [
                {"label": name, "points": [[x2, y1], [x1, y2]], "shape_type": "rectangle"}
                for name, (x1, y1, x2, y2) in example_boxes(index)
            ]
            content = {"shapes": shapes, "imagePath": f"{stem(index)}.jpg", "imageHeight": HEIGHT, "imageWidth": WIDTH}
            (root / split / f"{stem(index)}.json").write_text(json.dumps(content))
    return root


WRITERS = {
    "voc": write_voc,
    "coco": write_coco,
    "yolo": write_yolo,
    "csv": write_csv,
    "beside": write_voc_without_folders,
    "roboflow": write_roboflow_voc,
    "labelme": write_labelme,
}
