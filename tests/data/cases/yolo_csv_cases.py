"""YOLO and CSV folders, and an empty one."""

from __future__ import annotations

from tests.data.cases.case import Case, boxes_of, files_of
from tests.data.cases.write_cases import BOX, yolo

_SKU110K = "".join(f"{i}.jpg,{','.join(f'{side:g}' for side in BOX)},cat,96,64\n" for i in range(2))

_MASK_SPLIT = "train: images/train\nnames: [cat]\n"


def _photos(*names: str, capitals: bool = False) -> dict[str, str]:
    """Photos below images and their labels below labels; capitals: of the two folders."""
    images, labels = ("IMAGES", "LABELS") if capitals else ("images", "labels")
    return {f"{images}/{name}.jpg": "image" for name in names} | {f"{labels}/{name}.txt": yolo() for name in names}


YOLO_CSV_CASES: dict[str, Case] = {
    "empty": Case(lambda _: None, refused="found 0 images and no labels"),
    "YOLO: keypoints": Case(
        files_of(
            {
                f"{folder}/{split}/{split}{suffix}": text
                for split in ("train", "val")
                for folder, suffix, text in (
                    ("images", ".jpg", "image"),
                    ("labels", ".txt", yolo().strip() + " 0.45 0.55 0.45 0.55\n"),
                )
            }
            | {"data.yaml": "train: images/train\nval: images/val\nkpt_shape: [2, 2]\nnames: [cat]\n"}
        ),
        boxes_of("images/train/train.jpg", "images/val/val.jpg"),
    ),
    "YOLO: fields that fit no reading": Case(
        files_of(
            {"images/a.jpg": "image", "labels/a.txt": yolo().strip() + " 1 2\n"}
            | {"data.yaml": "train: images\nkpt_shape: [2, 2]\nnames: [cat]\n"}
        ),
        refused=r"a\.txt: line 1: expected class cx cy w h and the 4 numbers of kpt_shape, found 7 fields",
    ),
    "YOLO: labels beside images in folders": Case(
        files_of(
            {f"{name}.jpg": "image" for name in ("some/a", "another/images/b")}
            | {f"{name}.txt": yolo() for name in ("some/a", "another/images/b")}
            | {"classes.txt": "cat\n"}
        ),
        boxes_of("some/a.jpg", "another/images/b.jpg"),
    ),
    "YOLO: Label Studio's encoded names": Case(
        files_of(
            {"images/d\u00e9cran.jpg": "image", "labels/d%C3%A9cran.txt": yolo(), "classes.txt": "cat\n"}
            | {"images/b.jpg": "image", "labels/b.txt": yolo()}
        ),
        boxes_of("images/b.jpg", "images/d\u00e9cran.jpg"),
    ),
    "YOLO: capitals": Case(
        files_of({"IMAGES/a.jpg": "image", "LABELS/a.txt": yolo(), "classes.txt": "cat\n"}), boxes_of("IMAGES/a.jpg")
    ),
    "YOLO: CVAT's lists": Case(
        files_of(
            {
                f"obj_{split}_data/{split}{i}.{kind}": "image" if kind == "jpg" else yolo()
                for split in ("train", "valid")
                for i in range(2)
                for kind in ("jpg", "txt")
            }
            | {
                f"{split}.txt": "".join(f"data/obj_{split}_data/{split}{i}.jpg\n" for i in range(2))
                for split in ("train", "valid")
            }
            | {
                "obj.names": "cat\n",
                "obj.data": "classes = 1\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\n",
            }
        ),
        boxes_of(*(f"obj_{split}_data/{split}{i}.jpg" for split in ("train", "valid") for i in range(2))),
    ),
    "YOLO: lists of Windows": Case(
        files_of(
            {f"images/{i}.jpg": "image" for i in range(2)}
            | {f"labels/{i}.txt": yolo() for i in range(2)}
            | {"train.txt": ".\\images\\0.jpg\r\n", "val.txt": "C:\\Users\\me\\images\\1.jpg\r\n"}
            | {"data.yaml": "train: train.txt\nval: val.txt\nnames: [cat]\n"}
        ),
        boxes_of("images/0.jpg", "images/1.jpg"),
    ),
    "YOLO: photos in folders named for masks": Case(
        files_of(_photos("train/plain/a", "train/with_mask/b", "train/without_mask/c") | {"data.yaml": _MASK_SPLIT}),
        boxes_of("images/train/plain/a.jpg", "images/train/with_mask/b.jpg", "images/train/without_mask/c.jpg"),
    ),
    "YOLO: photos in folders named for masks alone": Case(
        files_of(_photos("train/unmasked/a", "train/semantic_a/b") | {"data.yaml": _MASK_SPLIT}),
        boxes_of("images/train/unmasked/a.jpg", "images/train/semantic_a/b.jpg"),
    ),
    "YOLO: photos in folders named for masks, in capitals": Case(
        files_of(_photos("with_mask/a", "plain/b", capitals=True) | {"classes.txt": "cat\n"}),
        boxes_of("IMAGES/with_mask/a.jpg", "IMAGES/plain/b.jpg"),
    ),
    "YOLO: labels beside photos in folders named for masks": Case(
        files_of(
            {f"{name}.jpg": "image" for name in ("with_mask/a", "plain/a")}
            | {f"{name}.txt": yolo() for name in ("with_mask/a", "plain/a")}
            | {"classes.txt": "cat\n"}
        ),
        boxes_of("with_mask/a.jpg", "plain/a.jpg"),
    ),
    "YOLO: a photo without labels in a folder named for masks": Case(
        files_of(_photos("train/with_mask/b") | {"images/train/with_mask/c.jpg": "image", "data.yaml": _MASK_SPLIT}),
        {"images/train/with_mask/b.jpg": [("cat", *BOX)], "images/train/with_mask/c.jpg": []},
        findings=frozenset({"unlabelled-image"}),
    ),
    "YOLO: masks beside photos": Case(
        files_of(
            _photos("train/a")
            | {f"{folder}/a.png": "image" for folder in ("images/train/masks", "images/train/SegmentationObject")}
            | {"images/train/a_mask.png/a.png": "image", "labels_mask/a.png": "image", "data.yaml": _MASK_SPLIT}
        ),
        boxes_of("images/train/a.jpg"),
    ),
    "YOLO: masks with the labels of photos beside them": Case(
        files_of({"photos/a.jpg": "image", "masks/a.png": "image", "masks/a.txt": yolo(), "classes.txt": "cat\n"}),
        boxes_of("photos/a.jpg"),
    ),
    "YOLO: label of a raw image": Case(
        files_of(
            {
                "train/images/a.jpg": "image",
                "train/images/b.cr2": "-",
                "data.yaml": "train: train/images\nnames: [cat]\n",
            }
            | {f"train/labels/{name}.txt": yolo() for name in "ab"}
        ),
        boxes_of("train/images/a.jpg"),
        findings=frozenset({"unread-kind"}),
    ),
    "YOLO: two photos with one label file": Case(
        files_of({"images/a.jpg": "image", "images/a.png": "image", "labels/a.txt": yolo(), "classes.txt": "cat\n"}),
        boxes_of("images/a.jpg", "images/a.png"),
        findings=frozenset({"shared-labels"}),
    ),
    "YOLO: two lists of names": Case(
        files_of(
            {"images/a.jpg": "image", "labels/a.txt": yolo(), "data.yaml": "train: images\nnames: [cat, dog]\n"}
            | {"labels/classes.txt": "dog\ncat\n"}
        ),
        boxes_of("images/a.jpg"),
        findings=frozenset({"other-names"}),
    ),
    "YOLO: lists of names beside the labels": Case(
        files_of(
            {f"{folder}/{folder}.jpg": "image" for folder in "ab"}
            | {f"{folder}/{folder}.txt": yolo() for folder in "ab"}
            | {"classes.txt": "cat\ndog\n", "a/classes.txt": "cat\ndog\n", "b/classes.txt": "dog\ncat\n"}
        ),
        boxes_of("a/a.jpg", "b/b.jpg"),
        findings=frozenset({"other-names"}),
    ),
    "YOLO: lists of names one folder down": Case(
        files_of(
            {f"{folder}/{folder}.jpg": "image" for folder in "ab"}
            | {f"{folder}/{folder}.txt": yolo() for folder in "ab"}
            | {"a/classes.txt": "cat\ndog\n", "b/classes.txt": "dog\ncat\n"}
        ),
        refused=r"; a has classes\.txt and b has classes\.txt: give one of them .*, so move none to",
    ),
    "YOLO: a class without a name": Case(
        files_of({"a.jpg": "image", "a.txt": yolo(), "classes.txt": "cat\n\ndog\n\n"}),
        refused=r"classes\.txt: names: expected a name for each class, found a blank for class 1: name it there, or",
    ),
    "CSV: fractions": Case(
        files_of({f"{name}.jpg": "image" for name in "ab"} | {"all.csv": "a.jpg,cat,0,0.1,0.4,1\nb.jpg,cat,0,0,1,1\n"}),
        refused=r"all\.csv: expected boxes in pixels, found all 2 .*, or name the columns as OpenImages does",
    ),
    "CSV: one box of a pixel": Case(
        files_of({"a.jpg": "image", "all.csv": "a.jpg,cat,0,0,1,1\n"}),
        boxes_of("a.jpg", box=("cat", 0.0, 0.0, 1.0, 1.0)),
        findings=frozenset({"fractions"}),
    ),
    "YOLO: commas": Case(
        files_of({"images/a.jpg": "image", "labels/a.txt": "0,0.5,0.5,0.2,0.2\n", "classes.txt": "cat\n"}),
        refused=r"a\.txt: line 1: expected .*, found 1 fields \(separate them by blanks, not by commas\)",
    ),
    "YOLO: images and labels swapped": Case(
        files_of({"labels/a.jpg": "image", "images/a.txt": yolo(), "classes.txt": "cat\n"}),
        refused=r"expected images in .*images, found none \(1 in .*labels\)",
    ),
    "YOLO: names one folder down": Case(
        files_of({"a.jpg": "image", "a.txt": yolo(), "x/classes.txt": "cat\n"}),
        refused=r"found 1 images and no labels that are known \(.*\); x has classes\.txt: .* or move classes\.txt to",
    ),
    "CSV: RetinaNet's order with numbers": Case(
        files_of({"a.jpg": "image", "b.jpg": "image", "all.csv": "a.jpg,10,12,40,44,1\nb.jpg,5,8,40,44,2\n"}),
        refused="expected the columns .*, found rows that fit file,x1,y1,x2,y2,label: write that as the first line",
    ),
    "CSV: RetinaNet's order with names": Case(
        files_of({"a.jpg": "image", "all.csv": "a.jpg,10,12,40,44,cat\n"}),
        refused="found rows that fit file,x1,y1,x2,y2,label: write that as the first line",
    ),
    "CSV: SKU110K's order": Case(
        files_of({f"images/{i}.jpg": "image" for i in range(2)} | {"annotations/all.csv": _SKU110K}),
        refused="found rows that fit image_name,x1,y1,x2,y2,class,image_width,image_height: write that as the first",
    ),
    "CSV: SKU110K's order, named": Case(
        files_of(
            {f"images/{i}.jpg": "image" for i in range(2)}
            | {"annotations/all.csv": "image_name,x1,y1,x2,y2,class,image_width,image_height\n" + _SKU110K}
        ),
        boxes_of("images/0.jpg", "images/1.jpg"),
    ),
    "CSV: an order of eight columns that may be two": Case(
        files_of({"a.jpg": "image", "all.csv": "a.jpg,10,12,40,44,1,96,64\n"}),
        refused="image_width,image_height or filename,image_width,image_height,class,x1,y1,x2,y2: write that",
    ),
    "CSV: numbers as labels": Case(
        files_of({"a.jpg": "image", "all.csv": "a.jpg,1,10,12,40,44\n"}), boxes_of("a.jpg", box=("1", *BOX))
    ),
}
