"""COCO folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.data.cases.case import CAT, SIZE, Case, boxes_of, files_of
from tests.data.cases.readers import Boxes
from tests.data.cases.write_cases import BOX, coco, write_files, write_image


def _size_before_rotation(root: Path) -> None:
    """The size in the COCO file is that before the EXIF rotation; the boxes are upright."""
    write_image(root / "images/phone.jpg", (64, 96), orientation=6)
    boxes = [(1, 1, BOX), (1, 1, (20, 70, 50, 90))]
    write_files(root, {"result.json": coco([("phone.jpg", (96, 64))], boxes)})


def _panoptic() -> str:
    document = json.loads(coco([("a.jpg", SIZE)], []))
    document["annotations"] = [{"image_id": 1, "file_name": "a.png", "segments_info": []}]
    return json.dumps(document)


ROBOFLOW_CATEGORIES = [
    {"id": 0, "name": "fish", "supercategory": "none"},
    {"id": 1, "name": "fish", "supercategory": "fish"},
    {"id": 2, "name": "trap", "supercategory": "fish"},
]
ROOT_CATEGORIES = [
    {"id": 0, "name": "sea", "supercategory": "none"},
    {"id": 1, "name": "fish", "supercategory": "sea"},
    {"id": 2, "name": "trap", "supercategory": "sea"},
]


def _roboflow(categories: list[dict[str, object]]) -> Callable[[Path], object]:
    objects = [(1, 1, BOX), (1, 2, (50, 20, 81, 51))]
    return files_of(
        {
            f"{split}/{name}": text
            for split in ("train", "valid")
            for name, text in (
                (f"{split}.jpg", "image"),
                ("_annotations.coco.json", coco([(f"{split}.jpg", SIZE)], objects, categories)),
            )
        }
    )


ROBOFLOW_BOXES: Boxes = {
    f"{split}/{split}.jpg": [("fish", *BOX), ("trap", 50.0, 20.0, 81.0, 51.0)] for split in ("train", "valid")
}


COCO_CASES: dict[str, Case] = {
    "COCO: size before the EXIF rotation": Case(
        _size_before_rotation,
        {"images/phone.jpg": [CAT, ("cat", 20.0, 70.0, 50.0, 90.0)]},
        findings=frozenset({"rotated"}),
    ),
    "COCO: unused category of the same name": Case(
        _roboflow(ROBOFLOW_CATEGORIES), ROBOFLOW_BOXES, findings=frozenset({"unused-category"})
    ),
    "COCO: unused root": Case(_roboflow(ROOT_CATEGORIES), ROBOFLOW_BOXES, findings=frozenset({"unused-category"})),
    "COCO: two used categories of one name": Case(
        files_of(
            {
                "images/a.jpg": "image",
                "all.json": coco(
                    [("a.jpg", SIZE)], [(1, 1, BOX), (1, 2, BOX)], [{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}]
                ),
            }
        ),
        refused=r'found id 1 and id 2, both "cat" and with objects: rename one, or give the objects one category_id',
    ),
    "COCO: one file under two ids": Case(
        files_of(
            {"images/a.png": "image", "all.json": coco([("a.png", SIZE), ("a.png", SIZE)], [(1, 1, BOX), (2, 1, BOX)])}
        ),
        refused=r"image 2: expected each image once, found a\.png under the ids 1 and 2$",
    ),
    "COCO: whole numbers with a point": Case(
        files_of(
            {
                "images/a.jpg": "image",
                "all.json": coco([("a.jpg", SIZE)], [(1, 1, BOX)])
                .replace('_id": 1', '_id": 1.0')
                .replace("96,", "96.0,"),
            }
        ),
        boxes_of("images/a.jpg"),
    ),
    "COCO: ids of 128 bits": Case(
        files_of(
            {
                "images/a.jpg": "image",
                "all.json": coco([("a.jpg", SIZE)], [(1, 1, BOX)]).replace('"image_id": 1', f'"image_id": {2**128}'),
            }
        ),
        refused=r'annotation 1: "image_id": expected an integer of 64 bits',
    ),
    "COCO: CVAT's rotation": Case(
        files_of(
            {
                "images/a.jpg": "image",
                "all.json": coco([("a.jpg", SIZE)], [(1, 1, BOX)]).replace(
                    '"iscrowd": 0', '"iscrowd": 0, "attributes": {"rotation": 90.0}'
                ),
            }
        ),
        {"images/a.jpg": [("cat", 9.0, 13.0, 41.0, 43.0)]},
    ),
    "COCO: crowds alone": Case(
        files_of(
            {
                "images/a.jpg": "image",
                "all.json": coco([("a.jpg", SIZE)], [(1, 1, BOX)]).replace('"iscrowd": 0', '"iscrowd": 1'),
            }
        ),
        boxes_of("images/a.jpg"),
        findings=frozenset({"only-crowds"}),
    ),
    "COCO: objects to ignore that are no crowds": Case(
        files_of(
            {
                "images/a.jpg": "image",
                "all.json": coco([("a.jpg", SIZE)], [(1, 1, BOX)]).replace('"iscrowd"', '"ignore": 1, "iscrowd"'),
            }
        ),
        boxes_of("images/a.jpg"),
    ),
    "COCO: fractions": Case(
        files_of(
            {
                "images/a.jpg": "image",
                "all.json": coco([("a.jpg", SIZE)], [(1, 1, (0.1, 0.2, 0.4, 0.7)), (1, 1, (0.7, 0, 1, 0.9))]),
            }
        ),
        refused=r"all\.json: expected boxes in pixels, found all 2 within 0\.\.1, as fractions of the image: multiply",
    ),
    "COCO: captions and keypoints beside instances": Case(
        files_of(
            {f"{split}2017/{split}.jpg": "image" for split in ("train", "val")}
            | {
                f"annotations/{kind}_{split}2017.json": text
                for split in ("train", "val")
                for kind, text in (
                    ("instances", coco([(f"{split}.jpg", SIZE)], [(1, 1, BOX)])),
                    ("person_keypoints", coco([(f"{split}.jpg", SIZE)], [])),
                    ("captions", '{"images": [{"id": 1}], "annotations": [{"id": 1, "image_id": 1, "caption": "x"}]}'),
                )
            }
        ),
        boxes_of("train2017/train.jpg", "val2017/val.jpg"),
    ),
    "COCO: panoptic": Case(
        files_of({"images/a.jpg": "image", "all.json": _panoptic()}),
        refused="expected COCO's boxes, found panoptic segments",
    ),
    "COCO: splits that number the classes differently": Case(
        files_of(
            {f"{split}2017/{split}.jpg": "image" for split in ("train", "val")}
            | {
                f"annotations/instances_{split}2017.json": coco(
                    [(f"{split}.jpg", SIZE)],
                    [(1, category_id, BOX)],
                    [{"id": category_id, "name": "cat"}, {"id": 3 - category_id, "name": "dog"}],
                )
                for split, category_id in (("train", 1), ("val", 2))
            }
        ),
        boxes_of("train2017/train.jpg", "val2017/val.jpg"),
    ),
    "COCO: name composed, file decomposed": Case(
        files_of({"images/gro\u0308n.jpg": "image", "all.json": coco([("gr\u00f6n.jpg", SIZE)], [(1, 1, BOX)])}),
        boxes_of("images/gro\u0308n.jpg"),
    ),
    "COCO: images deeper than named": Case(
        files_of({"photos/2020/a.jpg": "image", "all.json": coco([("x\\a.jpg", SIZE)], [(1, 1, BOX)])}),
        boxes_of("photos/2020/a.jpg"),
    ),
}
