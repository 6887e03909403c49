"""Labels in VOC's XML, COCO's JSON, YOLO's and CSV's lines, each of one image ``a.jpg`` of 48 x 32 pixels."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bad_inputs.nasty import Nasty
from tests.bad_inputs.nasty_binaries import BOMB
from tests.bad_inputs.nasty_images import HEIGHT, WIDTH, encoded

LABELS = {"voc": "Annotations/a.xml", "coco": "train.json", "yolo": "labels/a.txt", "csv": "train.csv"}
IMAGE = {"voc": "JPEGImages/a.jpg", "coco": "images/a.jpg", "yolo": "images/a.jpg", "csv": "images/a.jpg"}


def data_set(kind: str, labels: bytes | str, others: Mapping[str, bytes | str] | None = None) -> Callable[[Path], Path]:
    """A folder of that format with those labels; others: further files, or instead of the usual."""

    def write(folder: Path) -> Path:
        files: dict[str, bytes | str] = {IMAGE[kind]: encoded("JPEG"), LABELS[kind]: labels}
        if kind == "voc":
            files["ImageSets/Main/train.txt"] = "a\n"
        if kind == "yolo":
            files["data.yaml"] = "names: [cat, dog]\ntrain: images\n"
        for name, data in (files | dict(others or {})).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)
        return folder / LABELS[kind]

    return write


def xml(box: str = "<xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>30</ymax>", head: str = "") -> str:
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
    return f"{head}<annotation>{size}<object><name>cat</name><bndbox>{box}</bndbox></object></annotation>"


def corners(*values: object) -> str:
    names = ("xmin", "ymin", "xmax", "ymax")
    return "".join(f"<{name}>{value}</{name}>" for name, value in zip(names, values, strict=True))


def coco(**changes: Any) -> str:
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


def twice(part: str) -> str:
    document = json.loads(coco())
    document[part] *= 2
    return json.dumps(document)


def pipe_for_labels(folder: Path) -> Path:
    file = data_set("yolo", "")(folder)
    file.unlink()
    os.mkfifo(file)
    return file


BILLION = "<!DOCTYPE x [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {name} '{f'&{below};' * 10}'>" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)
OUTSIDE = "<!DOCTYPE x [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
DEEP = 100_000


def voc(labels: bytes | str) -> Callable[[Path], Path]:
    return data_set("voc", labels)


def json_of(labels: bytes | str) -> Callable[[Path], Path]:
    return data_set("coco", labels)


def csv(rows: bytes | str) -> Callable[[Path], Path]:
    return data_set("csv", rows)


def yolo(lines: bytes | str) -> Callable[[Path], Path]:
    return data_set("yolo", lines)


def yolo_yaml(text: bytes | str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        data_set("yolo", "0 0.5 0.5 0.1 0.1", {"data.yaml": text})(folder)
        return folder / "data.yaml"

    return write


REFUSED = {
    "voc: empty": Nasty(voc(""), "damaged XML"),
    "voc: cut": Nasty(voc(xml()[:-30]), "damaged XML"),
    "voc: entity bomb": Nasty(voc(xml("&i;", BILLION + "]>")), "damaged XML: Entities"),
    "voc: external entity": Nasty(voc(xml("&x;", OUTSIDE)), "damaged XML: Entities"),
    "voc: encoding that is another": Nasty(
        voc(b"<?xml version='1.0' encoding='utf-8'?>" + "<a>caf\u00e9</a>".encode("latin-1")), "damaged XML"
    ),
    "voc: encoding of no name": Nasty(voc("<?xml version='1.0' encoding='klingon'?><a/>"), "damaged XML"),
    "voc: object without name": Nasty(voc(xml().replace("<name>cat</name>", "")), "expected a <name>"),
    "voc: list in UTF-16": Nasty(
        data_set("voc", xml(), {"ImageSets/Main/train.txt": "a\n".encode("utf-16")}),
        "train.txt: expected text in UTF-8",
    ),
    "voc: list names a path far too long": Nasty(
        data_set("voc", xml(), {"ImageSets/Main/train.txt": "a" * 5000}), "too long"
    ),
    "coco: empty": Nasty(json_of(""), "damaged JSON"),
    "coco: cut": Nasty(json_of(coco()[:-9]), "damaged JSON"),
    "coco: no object": Nasty(json_of("[]"), "found another JSON value"),
    "coco: deep": Nasty(json_of("[" * DEEP + "]" * DEEP), "damaged JSON"),
    "coco: integer of 5000 digits": Nasty(json_of(coco().replace("7,", f"{'7' * 5000},")), "damaged JSON"),
    "coco: integer of 400 digits as id": Nasty(json_of(coco(image__id=10**400, image_id=10**400)), "64 bits"),
    "coco: integer of 400 digits as area": Nasty(json_of(coco(area=10**400)), '"area": expected square pixels'),
    "coco: area that is NaN": Nasty(json_of(coco(area=float("nan"))), '"area": expected square pixels, found NaN'),
    "coco: area below 0": Nasty(json_of(coco(area=-4)), '"area": expected square pixels, found -4'),
    "coco: iscrowd in words": Nasty(json_of(coco(iscrowd="no")), '"iscrowd": expected 0 or 1, found "no"'),
    "coco: width of 13 digits": Nasty(json_of(coco(image__width=10**13)), "below 10"),
    "coco: width that is a text": Nasty(json_of(coco(image__width="48")), '"width": expected an integer'),
    "coco: image without id": Nasty(json_of(coco(image__id=...)), 'image 1: expected "id"'),
    "coco: image without name": Nasty(json_of(coco(image__file_name=...)), 'image 1: expected "file_name"'),
    "coco: category without id": Nasty(json_of(coco(category__id=...)), 'category 1: expected "id"'),
    "coco: no image_id": Nasty(json_of(coco(image_id=...)), 'expected "image_id"'),
    "coco: unknown image_id": Nasty(json_of(coco(image_id=8)), "expected the id of an image"),
    "coco: category 0 that is not there": Nasty(json_of(coco(category_id=0)), "expected the id of a category, found 0"),
    "coco: bbox of 3 numbers": Nasty(json_of(coco(bbox=[1, 2, 3])), "expected 4 numbers"),
    "coco: bbox of texts": Nasty(json_of(coco(bbox=["1", "2", "3", "4"])), "expected 4 numbers"),
    "coco: bbox of true": Nasty(json_of(coco(bbox=[True, 2, 3, 4])), "expected 4 numbers"),
    "coco: an id that is a deep list": Nasty(json_of(coco(id=[[[[0] * 999]]], bbox=0)), "expected a list"),
    "coco: image ids twice": Nasty(json_of(twice("images")), "expected each image id once"),
    "coco: category ids twice": Nasty(json_of(twice("categories")), "expected each category once"),
    "coco: image outside its folder": Nasty(json_of(coco(image__file_name="../../a.jpg")), "inside the images' folder"),
    "coco: image of half a letter": Nasty(json_of(coco(image__file_name="\ud800.jpg")), "found nothing"),
    "coco: image with NUL in its name": Nasty(json_of(coco(image__file_name="a\0.jpg")), "found nothing"),
    "coco: image with a name far too long": Nasty(json_of(coco(image__file_name="a" * 5000)), "too long"),
    "csv: quote that does not end": Nasty(csv('a.jpg,"cat,1,2,30,20\n'), "expected rows"),
    "csv: text after a quote": Nasty(csv('a.jpg,"cat"s,1,2,30,20\n'), "expected rows"),
    "csv: columns missing": Nasty(csv("file,label,x1\na.jpg,cat,1\n"), "expected the columns"),
    "csv: fields missing": Nasty(csv("a.jpg,cat,1,2,30,20\na.jpg,cat,1\n"), "line 2: expected 6 fields"),
    "csv: field of a million letters": Nasty(csv(f"a.jpg,{'c' * 10**6},1,2,30,20\n"), "field larger than"),
    "csv: NUL": Nasty(csv("a\0.jpg,cat,1,2,30,20\n"), "found nothing"),
    "csv: number with an underscore": Nasty(csv("a.jpg,cat,1,2,3_0,20\n"), 'expected a number, found "3_0"'),
    "csv: NaN": Nasty(csv("a.jpg,cat,nan,2,30,20\n"), "x1: expected a number"),
    "csv: UTF-16": Nasty(csv("a.jpg,cat,1,2,30,20\n".encode("utf-16")), "text in UTF-8"),
    "yolo: NaN": Nasty(yolo("0 nan 0.5 0.1 0.1"), "expected numbers, found nan"),
    "yolo: class beyond": Nasty(yolo("2 0.5 0.5 0.1 0.1"), "expected a class from 0 to 1, found 2"),
    "yolo: class in words": Nasty(yolo("cat 0.5 0.5 0.1 0.1"), "expected a class"),
    "yolo: class below": Nasty(yolo("-1 0.5 0.5 0.1 0.1"), "expected a class"),
    "yolo: prose": Nasty(yolo("no objects here"), "expected class cx cy w h"),
    "yolo: UTF-16": Nasty(yolo("0 0.5 0.5 0.1 0.1".encode("utf-16")), "text in UTF-8"),
    "yolo: labels from a pipe": Nasty(pipe_for_labels, "found a pipe"),
    "data.yaml: python object": Nasty(
        yolo_yaml("names: !!python/object/apply:os.system ['touch ran']"), "could not determine a constructor"
    ),
    "data.yaml: alias bomb": Nasty(yolo_yaml(BOMB + "train: images"), "aliases that stand for more than"),
    "data.yaml: deep": Nasty(yolo_yaml("names: " + "[" * 5000), "nested too deep|expected YAML"),
    "data.yaml: names that YAML reads as false": Nasty(yolo_yaml("names: [no, cat]\ntrain: images"), "in quotes"),
    "data.yaml: a key twice": Nasty(yolo_yaml("names: [a]\ntrain: images\nnames: [b]"), 'the key "names" twice'),
    "data.yaml: nc of another count": Nasty(yolo_yaml("names: [a]\nnc: 2\ntrain: images"), "nc: expected 1"),
    "data.yaml: a text": Nasty(yolo_yaml("hello"), "expected names and the splits"),
    "data.yaml: Latin-1": Nasty(yolo_yaml("names: [caf\u00e9]".encode("latin-1")), "text in UTF-8"),
}

# name -> (how it is written, what stays of its only box, why it was dropped)
WHOLE = (2.0, 3.0, 20.0, 30.0)
READ: dict[str, tuple[Callable[[Path], Path], tuple[float, ...] | None, str]] = {
    "voc: floats": (voc(xml(corners("3.0", " 4.5 ", 20, 30))), (2.0, 3.5, 20.0, 30.0), ""),
    "voc: swapped corners": (voc(xml(corners(20, 4, 3, 30))), None, "without extent"),
    "voc: NaN": (voc(xml(corners("nan", 4, 20, 30))), None, "not finite"),
    "voc: huge numbers": (voc(xml(corners(3, 4, "1e999", 30))), None, "not finite"),
    "voc: exponent of 20 digits": (voc(xml(corners(3, 4, f"1e{'9' * 20}", 30))), None, "not finite"),
    "voc: number with an underscore": (voc(xml(corners(3, 4, "2_0", 30))), None, "not finite"),
    "voc: words": (voc(xml(corners("left", 4, 20, 30))), None, "not finite"),
    "voc: a corner missing": (voc(xml("<xmin>1</xmin>")), None, "no complete <bndbox>"),
    "voc: outside the image": (voc(xml(corners(100, 4, 120, 30))), None, "outside its 48 x 32 image"),
    "voc: deep": (voc(xml(head="").replace("<size>", "<d>" * DEEP + "</d>" * DEEP + "<size>")), WHOLE, ""),
    "voc: UTF-16": (voc(xml(head="<?xml version='1.0' encoding='utf-16'?>").encode("utf-16")), WHOLE, ""),
    "voc: byte order mark": (voc("\ufeff" + xml()), WHOLE, ""),
    "voc: size of 0": (voc(xml().replace(f"<width>{WIDTH}", "<width>0")), WHOLE, ""),
    "voc: list with a byte order mark": (
        data_set("voc", xml(), {"ImageSets/Main/train.txt": "\ufeffa\r\n"}),
        WHOLE,
        "",
    ),
    "coco: byte order mark": (json_of("\ufeff" + coco()), WHOLE, ""),
    "coco: NaN": (json_of(coco(bbox=[float("nan"), 3, 18, 27])), None, "not finite"),
    "coco: Infinity": (json_of(coco(bbox=[2, 3, float("inf"), 27])), None, "not finite"),
    "coco: integer of 400 digits": (json_of(coco(bbox=[2, 3, 10**400, 27])), None, "not finite"),
    "coco: width below 0": (json_of(coco(bbox=[2, 3, -18, 27])), None, "without extent"),
    "coco: category 0": (json_of(coco(category__id=0, category_id=0)), WHOLE, ""),
    "csv: byte order mark and quotes": (csv('\ufeff"a.jpg","cat",2,3,20,30\r\n'), WHOLE, ""),
    "csv: infinite": (csv("a.jpg,cat,2,3,inf,30\n"), None, "not finite"),
    "yolo: below 0": (yolo("0 0.5 0.5 -0.1 0.1"), None, "without extent"),
    "yolo: pixels": (yolo("0 20 20 10 10"), None, "not in fractions"),
    "yolo: huge": (yolo("0 1e999 0.5 0.1 0.1"), None, "not finite"),
}
