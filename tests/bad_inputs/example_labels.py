"""Bad and unusual labels in all formats, each for one image ``a.jpg`` of 48 x 32 pixels."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bad_inputs.bad_input import BadInput
from tests.bad_inputs.example_binaries import ALIAS_BOMB
from tests.bad_inputs.example_images import HEIGHT, WIDTH, encode

LABEL_FILES = {"voc": "Annotations/a.xml", "coco": "train.json", "yolo": "labels/a.txt", "csv": "train.csv"}
IMAGE_FILES = {"voc": "JPEGImages/a.jpg", "coco": "images/a.jpg", "yolo": "images/a.jpg", "csv": "images/a.jpg"}


def dataset_with(
    kind: str, labels: bytes | str, others: Mapping[str, bytes | str] | None = None
) -> Callable[[Path], Path]:
    """A folder of that format with those labels; others: further files, or instead of the usual."""

    def write(folder: Path) -> Path:
        files: dict[str, bytes | str] = {IMAGE_FILES[kind]: encode("JPEG"), LABEL_FILES[kind]: labels}
        if kind == "voc":
            files["ImageSets/Main/train.txt"] = "a\n"
        if kind == "yolo":
            files["data.yaml"] = "names: [cat, dog]\ntrain: images\n"
        for name, data in (files | dict(others or {})).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)
        return folder / LABEL_FILES[kind]

    return write


def voc_xml(box: str = "<xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>30</ymax>", head: str = "") -> str:
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
    return f"{head}<annotation>{size}<object><name>cat</name><bndbox>{box}</bndbox></object></annotation>"


def voc_corners(*values: object) -> str:
    names = ("xmin", "ymin", "xmax", "ymax")
    return "".join(f"<{name}>{value}</{name}>" for name, value in zip(names, values, strict=True))


def coco_json(**changes: Any) -> str:
    """changes: of the only annotation, or image_..., category_... of the others; ... as a value takes the key out."""
    records = {
        "image": {"id": 7, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT},
        "category": {"id": 3, "name": "cat"},
        "annotation": {"id": 1, "image_id": 7, "category_id": 3, "bbox": [2, 3, 18, 27]},
    }
    for key, value in changes.items():
        part, _, inner = key.partition("__")
        record = records[part if inner else "annotation"]
        record[inner or key] = value
        if value is ...:
            del record[inner or key]
    plural = {"image": "images", "category": "categories", "annotation": "annotations"}
    return json.dumps({plural[name]: [record] for name, record in records.items()})


def coco_json_with_duplicates(part: str) -> str:
    document = json.loads(coco_json())
    document[part] *= 2
    return json.dumps(document)


def write_label_pipe(folder: Path) -> Path:
    file = dataset_with("yolo", "")(folder)
    file.unlink()
    os.mkfifo(file)
    return file


ENTITY_BOMB = "<!DOCTYPE x [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {name} '{f'&{below};' * 10}'>" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)
EXTERNAL_ENTITY = "<!DOCTYPE x [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
DEPTH = 100_000


def voc_dataset(labels: bytes | str) -> Callable[[Path], Path]:
    return dataset_with("voc", labels)


def coco_dataset(labels: bytes | str) -> Callable[[Path], Path]:
    return dataset_with("coco", labels)


def csv_dataset(rows: bytes | str) -> Callable[[Path], Path]:
    return dataset_with("csv", rows)


def yolo_dataset(lines: bytes | str) -> Callable[[Path], Path]:
    return dataset_with("yolo", lines)


def yolo_dataset_with_yaml(text: bytes | str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        dataset_with("yolo", "0 0.5 0.5 0.1 0.1", {"data.yaml": text})(folder)
        return folder / "data.yaml"

    return write


REFUSED = {
    "voc: empty": BadInput(voc_dataset(""), "damaged XML"),
    "voc: cut": BadInput(voc_dataset(voc_xml()[:-30]), "damaged XML"),
    "voc: entity bomb": BadInput(voc_dataset(voc_xml("&i;", ENTITY_BOMB + "]>")), "damaged XML: Entities"),
    "voc: external entity": BadInput(voc_dataset(voc_xml("&x;", EXTERNAL_ENTITY)), "damaged XML: Entities"),
    "voc: encoding that is another": BadInput(
        voc_dataset(b"<?xml version='1.0' encoding='utf-8'?>" + "<a>caf\u00e9</a>".encode("latin-1")), "damaged XML"
    ),
    "voc: encoding of no name": BadInput(voc_dataset("<?xml version='1.0' encoding='klingon'?><a/>"), "damaged XML"),
    "voc: object without name": BadInput(voc_dataset(voc_xml().replace("<name>cat</name>", "")), "expected a <name>"),
    "voc: list in Latin-1": BadInput(
        dataset_with("voc", voc_xml(), {"ImageSets/Main/train.txt": "\xe9\n".encode("latin-1")}),
        "train.txt: expected text in UTF-8",
    ),
    "voc: list names a path far too long": BadInput(
        dataset_with("voc", voc_xml(), {"ImageSets/Main/train.txt": "a" * 5000}), "too long"
    ),
    "coco: empty": BadInput(coco_dataset(""), "damaged JSON"),
    "coco: cut": BadInput(coco_dataset(coco_json()[:-9]), "damaged JSON"),
    "coco: no object": BadInput(coco_dataset("[]"), "found another JSON value"),
    "coco: deep": BadInput(coco_dataset("[" * DEPTH + "]" * DEPTH), "damaged JSON"),
    "coco: integer of 5000 digits": BadInput(coco_dataset(coco_json().replace("7,", f"{'7' * 5000},")), "damaged JSON"),
    "coco: integer of 400 digits as id": BadInput(
        coco_dataset(coco_json(image__id=10**400, image_id=10**400)), "64 bits"
    ),
    "coco: integer of 400 digits as area": BadInput(
        coco_dataset(coco_json(area=10**400)), '"area": expected square pixels'
    ),
    "coco: area that is NaN": BadInput(
        coco_dataset(coco_json(area=float("nan"))), '"area": expected square pixels, found NaN'
    ),
    "coco: area below 0": BadInput(coco_dataset(coco_json(area=-4)), '"area": expected square pixels, found -4'),
    "coco: iscrowd in words": BadInput(coco_dataset(coco_json(iscrowd="no")), '"iscrowd": expected 0 or 1, found "no"'),
    "coco: width of 13 digits": BadInput(coco_dataset(coco_json(image__width=10**13)), "below 10"),
    "coco: width that is a text": BadInput(coco_dataset(coco_json(image__width="48")), '"width": expected an integer'),
    "coco: image without id": BadInput(coco_dataset(coco_json(image__id=...)), 'image 1: expected "id"'),
    "coco: image without name": BadInput(
        coco_dataset(coco_json(image__file_name=...)), 'image 1: expected "file_name"'
    ),
    "coco: category without id": BadInput(coco_dataset(coco_json(category__id=...)), 'category 1: expected "id"'),
    "coco: no image_id": BadInput(coco_dataset(coco_json(image_id=...)), 'expected "image_id"'),
    "coco: unknown image_id": BadInput(coco_dataset(coco_json(image_id=8)), "expected the id of an image"),
    "coco: category 0 that is not there": BadInput(
        coco_dataset(coco_json(category_id=0)), "expected the id of a category, found 0"
    ),
    "coco: bbox of 3 numbers": BadInput(coco_dataset(coco_json(bbox=[1, 2, 3])), "expected 4 numbers"),
    "coco: bbox of texts": BadInput(coco_dataset(coco_json(bbox=["1", "2", "3", "4"])), "expected 4 numbers"),
    "coco: bbox of true": BadInput(coco_dataset(coco_json(bbox=[True, 2, 3, 4])), "expected 4 numbers"),
    "coco: an id that is a deep list": BadInput(coco_dataset(coco_json(id=[[[[0] * 999]]], bbox=0)), "expected a list"),
    "coco: image ids twice": BadInput(coco_dataset(coco_json_with_duplicates("images")), "expected each image id once"),
    "coco: category ids twice": BadInput(
        coco_dataset(coco_json_with_duplicates("categories")), "expected each category once"
    ),
    "coco: image outside its folder": BadInput(
        coco_dataset(coco_json(image__file_name="../..")), "inside the images' folder"
    ),
    "coco: image of half a letter": BadInput(coco_dataset(coco_json(image__file_name="\ud800.jpg")), "found nothing"),
    "coco: image with NUL in its name": BadInput(coco_dataset(coco_json(image__file_name="a\0.jpg")), "found nothing"),
    "coco: image with a name far too long": BadInput(coco_dataset(coco_json(image__file_name="a" * 5000)), "too long"),
    "csv: quote that does not end": BadInput(csv_dataset('a.jpg,"cat,1,2,30,20\n'), "expected rows"),
    "csv: text after a quote": BadInput(csv_dataset('a.jpg,"cat"s,1,2,30,20\n'), "expected rows"),
    "csv: columns missing": BadInput(csv_dataset("file,label,x1\na.jpg,cat,1\n"), "expected the columns"),
    "csv: fields missing": BadInput(csv_dataset("a.jpg,cat,1,2,30,20\na.jpg,cat,1\n"), "line 2: expected 6 fields"),
    "csv: field of a million letters": BadInput(csv_dataset(f"a.jpg,{'c' * 10**6},1,2,30,20\n"), "field larger than"),
    "csv: NUL": BadInput(csv_dataset("a\0.jpg,cat,1,2,30,20\n"), "found nothing"),
    "csv: number with an underscore": BadInput(csv_dataset("a.jpg,cat,1,2,3_0,20\n"), 'expected a number, found "3_0"'),
    "csv: NaN": BadInput(csv_dataset("a.jpg,cat,nan,2,30,20\n"), "x1: expected a number"),
    "csv: Latin-1": BadInput(csv_dataset("a.jpg,c\xe9,1,2,30,20\n".encode("latin-1")), "text in UTF-8"),
    "yolo: NaN": BadInput(yolo_dataset("0 nan 0.5 0.1 0.1"), "expected numbers, found nan"),
    "yolo: class beyond": BadInput(yolo_dataset("2 0.5 0.5 0.1 0.1"), "expected a class from 0 to 1, found 2"),
    "yolo: class in words": BadInput(yolo_dataset("cat 0.5 0.5 0.1 0.1"), "expected a class"),
    "yolo: class below": BadInput(yolo_dataset("-1 0.5 0.5 0.1 0.1"), "expected a class"),
    "yolo: prose": BadInput(yolo_dataset("no objects here"), "expected class cx cy w h"),
    "yolo: Latin-1": BadInput(yolo_dataset("0 0.5 0.5 0.1 0.1\xa0".encode("latin-1")), "text in UTF-8"),
    "yolo: labels from a pipe": BadInput(write_label_pipe, "found a pipe"),
    "data.yaml: python object": BadInput(
        yolo_dataset_with_yaml("names: !!python/object/apply:os.system ['touch ran']"),
        "could not determine a constructor",
    ),
    "data.yaml: alias bomb": BadInput(
        yolo_dataset_with_yaml(ALIAS_BOMB + "train: images"), "aliases that stand for more than"
    ),
    "data.yaml: deep": BadInput(yolo_dataset_with_yaml("names: " + "[" * 5000), "nested too deep|expected YAML"),
    "data.yaml: names that YAML reads as false": BadInput(
        yolo_dataset_with_yaml("names: [no, cat]\ntrain: images"), "in quotes"
    ),
    "data.yaml: a key twice": BadInput(
        yolo_dataset_with_yaml("names: [a]\ntrain: images\nnames: [b]"), 'the key "names" twice'
    ),
    "data.yaml: nc of another count": BadInput(
        yolo_dataset_with_yaml("names: [a]\nnc: 2\ntrain: images"), "nc: expected 1"
    ),
    "data.yaml: a text": BadInput(yolo_dataset_with_yaml("hello"), "expected names and the splits"),
    "data.yaml: Latin-1": BadInput(yolo_dataset_with_yaml("names: [caf\u00e9]".encode("latin-1")), "text in UTF-8"),
}

# name -> (how it is written, what stays of its only box, why it was dropped)
FULL_BOX = (2.0, 3.0, 20.0, 30.0)
ACCEPTED: dict[str, tuple[Callable[[Path], Path], tuple[float, ...] | None, str]] = {
    "voc: floats": (voc_dataset(voc_xml(voc_corners("3.0", " 4.5 ", 20, 30))), (2.0, 3.5, 20.0, 30.0), ""),
    "voc: swapped corners": (voc_dataset(voc_xml(voc_corners(20, 4, 3, 30))), None, "without extent"),
    "voc: NaN": (voc_dataset(voc_xml(voc_corners("nan", 4, 20, 30))), None, "not finite"),
    "voc: huge numbers": (voc_dataset(voc_xml(voc_corners(3, 4, "1e999", 30))), None, "not finite"),
    "voc: exponent of 20 digits": (voc_dataset(voc_xml(voc_corners(3, 4, f"1e{'9' * 20}", 30))), None, "not finite"),
    "voc: number with an underscore": (voc_dataset(voc_xml(voc_corners(3, 4, "2_0", 30))), None, "not finite"),
    "voc: words": (voc_dataset(voc_xml(voc_corners("left", 4, 20, 30))), None, "not finite"),
    "voc: a corner missing": (voc_dataset(voc_xml("<xmin>1</xmin>")), None, "no complete <bndbox>"),
    "voc: outside the image": (voc_dataset(voc_xml(voc_corners(100, 4, 120, 30))), None, "outside its 48 x 32 image"),
    "voc: deep": (
        voc_dataset(voc_xml(head="").replace("<size>", "<d>" * DEPTH + "</d>" * DEPTH + "<size>")),
        FULL_BOX,
        "",
    ),
    "voc: UTF-16": (
        voc_dataset(voc_xml(head="<?xml version='1.0' encoding='utf-16'?>").encode("utf-16")),
        FULL_BOX,
        "",
    ),
    "voc: byte order mark": (voc_dataset("\ufeff" + voc_xml()), FULL_BOX, ""),
    "voc: size of 0": (voc_dataset(voc_xml().replace(f"<width>{WIDTH}", "<width>0")), FULL_BOX, ""),
    "voc: list with a byte order mark": (
        dataset_with("voc", voc_xml(), {"ImageSets/Main/train.txt": "\ufeffa\r\n"}),
        FULL_BOX,
        "",
    ),
    "coco: byte order mark": (coco_dataset("\ufeff" + coco_json()), FULL_BOX, ""),
    "coco: NaN": (coco_dataset(coco_json(bbox=[float("nan"), 3, 18, 27])), None, "not finite"),
    "coco: Infinity": (coco_dataset(coco_json(bbox=[2, 3, float("inf"), 27])), None, "not finite"),
    "coco: integer of 400 digits": (coco_dataset(coco_json(bbox=[2, 3, 10**400, 27])), None, "not finite"),
    "coco: width below 0": (coco_dataset(coco_json(bbox=[2, 3, -18, 27])), None, "without extent"),
    "coco: category 0": (coco_dataset(coco_json(category__id=0, category_id=0)), FULL_BOX, ""),
    "csv: byte order mark and quotes": (csv_dataset('\ufeff"a.jpg","cat",2,3,20,30\r\n'), FULL_BOX, ""),
    "csv: infinite": (csv_dataset("a.jpg,cat,2,3,inf,30\n"), None, "not finite"),
    "yolo: below 0": (yolo_dataset("0 0.5 0.5 -0.1 0.1"), None, "without extent"),
    "yolo: pixels": (yolo_dataset("0 20 20 10 10"), None, "not in fractions"),
    "yolo: huge": (yolo_dataset("0 1e999 0.5 0.1 0.1"), None, "not finite"),
}
