"""CVAT's and Label Studio's exports, written here as their documentation says, and what is read of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detect.config import DataConfig
from detect.config.builders.resolve import resolve_data
from detect.data.formats.detect_format import detect_format
from detect.data.formats.label_studio_json import image_path
from detect.data.formats.labeled_folder import LabeledFolder
from detect.data.formats.records import LabeledObject
from detect.data.inspect.inspector import scan_folder
from detect.data.masks import decode, encode
from detect.data.sources import Source, load_sources
from detect.errors import UserError
from detect.evaluation.predictions import Prediction
from detect.inference.labeling_results import write_cvat, write_label_studio
from tests.data.cases.readers import READERS
from tests.data.cases.write_cases import HEIGHT, WIDTH, write_files

SIZE = (HEIGHT, WIDTH)
BOX = '<box label="cat" source="manual" occluded="0" xtl="10.00" ytl="12.00" xbr="40.00" ybr="44.00" z_order="0"/>'
CAT: tuple[Any, ...] = ("cat", 10, 12, 40, 44)


def cvat(*images: str, labels: Sequence[str] = ("dog", "cat"), size: tuple[int, int] = (WIDTH, HEIGHT)) -> str:
    """A file of CVAT: for each image the attributes, a line break, and its shapes."""
    listed = "".join(f"<label><name>{name}</name><type>any</type></label>" for name in labels)
    elements = ""
    for index, image in enumerate(images):
        attributes, _, shapes = image.partition("\n")
        elements += f'<image id="{index}" {attributes} width="{size[0]}" height="{size[1]}">{shapes}</image>'
    head = f"<version>1.1</version><meta><task><labels>{listed}</labels></task></meta>"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{head}{elements}</annotations>'


def region(kind: str, label: str = "cat", /, **fields: Any) -> dict[str, Any]:
    """A region of Label Studio; fields: of its value, or of the record where they begin with _."""
    record = {"type": kind, "from_name": "label", "to_name": "image", "image_rotation": 0, "origin": "manual"}
    record |= {"original_width": WIDTH, "original_height": HEIGHT, "id": f"{kind}{sorted(fields.items())}"}
    labels = {kind: [label]} if label else {}
    record |= {key[1:]: field for key, field in fields.items() if key.startswith("_")}
    return record | {"value": {key: field for key, field in fields.items() if key[0] != "_"} | labels}


def percent(x1: float, y1: float, x2: float, y2: float) -> dict[str, float]:
    x, y, w, h = 100 * x1 / WIDTH, 100 * y1 / HEIGHT, 100 * (x2 - x1) / WIDTH, 100 * (y2 - y1) / HEIGHT
    return {"x": x, "y": y, "width": w, "height": h, "rotation": 0}


RECTANGLE = region("rectanglelabels", **percent(*CAT[1:]))


def task(image: str, *regions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    annotation = {"id": 7, "completed_by": 1, "result": list(regions), "was_cancelled": False, "ground_truth": False}
    return {"id": 3, "annotations": [annotation], "predictions": [], "data": {"image": image}, "meta": {}} | fields


def boxes(objects: Sequence[LabeledObject]) -> list[tuple[object, ...]]:
    return [(instance.name, *np.round(instance.box, 3).tolist()) for instance in objects]


def read_shapes(root: Path, content: str, name: str = "export.xml") -> LabeledFolder:
    write_files(root, {name: content, "images/a.png": "image"})
    return scan_folder(root, None)


EXPORTS: dict[str, Callable[[], dict[str, str]]] = {
    "cvat": lambda: {"annotations.xml": cvat(f'name="a.png"\n{BOX}', 'name="b.png"')},
    "label-studio": lambda: {
        "project-1.json": json.dumps([task("/data/upload/1/0a1b2c3d-a.png", RECTANGLE), task("b.png")])
    },
}


@pytest.mark.parametrize("format_", EXPORTS)
def test_the_format_is_detected_and_an_image_without_shapes_is_one_without_objects(
    tmp_path: Path, format_: str
) -> None:
    write_files(tmp_path, EXPORTS[format_]() | {"images/a.png": "image", "images/b.png": "image", "c.txt": "-"})
    data = resolve_data(DataConfig(format="auto", root=str(tmp_path)))
    assert data.format == format_ == detect_format(tmp_path)
    read = load_sources(data.format, [Source(tmp_path, str(data.train))], None)
    assert {Path(read.file(index)).name: len(read[index].boxes) for index in range(2)} == {"a.png": 1, "b.png": 0}
    assert read.classes == (("dog", "cat") if format_ == "cvat" else ("cat",))


@pytest.mark.parametrize("format_", EXPORTS)
def test_every_command_reads_the_same_boxes(tmp_path: Path, format_: str) -> None:
    tasks = [task(f"{name}.png", RECTANGLE) for name in "ab"]
    images = [f'name="{name}.png"\n{BOX}' for name in "ab"]
    export = {"annotations.xml": cvat(*images)} if format_ == "cvat" else {"export.json": json.dumps(tasks)}
    write_files(tmp_path, export | {"images/a.png": "image", "images/b.png": "image"})
    box = [("cat", *map(float, CAT[1:]))]
    for reader in READERS.values():
        assert reader(tmp_path) == {"images/a.png": box, "images/b.png": box}


CVAT_SHAPES: dict[str, tuple[str, list[tuple[object, ...]]]] = {
    "none": ("", []),
    "box": (BOX, [CAT]),
    "turned box": (
        BOX.replace("z_order", 'rotation="90.00" z_order'),
        [("cat", 25 - 16, 28 - 15, 25 + 16, 28 + 15)],
    ),
    "polygon": ('<polygon label="cat" points="10.00,12.00;40.00,12.00;25.00,44.00"/>', [CAT]),
    "polygons of a group": (
        '<polygon label="cat" points="10,12;20,12;15,44" group_id="4"/><box label="cat" xtl="1" ytl="1" xbr="2" ybr="3"'
        ' group_id="4"/><polygon label="cat" points="30,12;40,12;35,20" group_id="4"/>',
        [CAT, ("cat", 1, 1, 2, 3)],
    ),
    "mask": ('<mask label="cat" rle="1, 1, 2" left="10" top="12" width="2" height="2"/>', [("cat", 10, 12, 12, 14)]),
    "ellipse": ('<ellipse label="cat" cx="25" cy="28" rx="15" ry="16"/>', [CAT]),
    "a label that is not listed": (BOX.replace("cat", "cow"), [("cow", *CAT[1:])]),
    "skeleton, points and tags": (
        '<tag label="cat"/><points label="cat" points="1,2"/><skeleton label="cat"><points label="eye" points="1,2"/>'
        "</skeleton>",
        [],
    ),
}


@pytest.mark.parametrize(("shapes", "expected"), CVAT_SHAPES.values(), ids=CVAT_SHAPES)
def test_shapes_of_cvat(tmp_path: Path, shapes: str, expected: list[tuple[object, ...]]) -> None:
    folder = read_shapes(tmp_path, cvat(f'name="sub/a.png"\n{shapes}'))
    assert boxes(folder.images[0].objects) == expected
    assert [finding.kind for finding in folder.findings if finding.kind != "dialect"] == ["no-box"] * shapes.count(
        'label="cat" points="1,2"'
    ) + ["no-box"] * shapes.count("<skeleton")


def pack(bitmap: np.ndarray) -> list[int]:
    """The bytes of a brush mask (h, w) bool: runs of opaque and clear words, by label_studio_sdk's documentation."""
    words = np.repeat(bitmap.ravel() * 255, 4).tolist()
    bits = f"{len(words):032b}" + f"{7:05b}" + "".join(f"{width - 1:04b}" for width in (2, 4, 8, 16))
    start = 0
    while start < len(words):
        stop = start
        while stop < len(words) and words[stop] == words[start] and stop - start < 2**16:
            stop += 1
        bits += f"1{3:02b}{stop - start - 1:016b}{words[start]:08b}"
        start = stop
    bits += "0" * (-len(bits) % 8)
    return [int(bits[index : index + 8], 2) for index in range(0, len(bits), 8)]


BRUSHED = np.zeros(SIZE, bool)
BRUSHED[12:44, 10:40] = True
TURNED = {**percent(*CAT[1:]), "rotation": 90}

LABEL_STUDIO_SHAPES: dict[str, tuple[list[dict[str, Any]], list[tuple[object, ...]]]] = {
    "none": ([], []),
    "rectangle": ([RECTANGLE], [CAT]),
    "turned about its first corner": ([region("rectanglelabels", **TURNED)], [("cat", 10 - 32, 12, 10, 12 + 30)]),
    "a stated size that is not the image's": (
        [RECTANGLE | {"original_width": 3 * WIDTH, "original_height": 3 * HEIGHT}],
        [CAT],
    ),
    "rectangle and label apart": (
        [
            region("rectangle", "", **percent(*CAT[1:]), _id="q"),
            region("labels", **percent(*CAT[1:]), _id="q"),
            {"type": "choices", "from_name": "pose", "to_name": "image", "id": "q", "value": {"choices": ["up"]}},
        ],
        [CAT],
    ),
    "ellipse": (
        [region("ellipselabels", x=2500 / WIDTH, y=2800 / HEIGHT, radiusX=1500 / WIDTH, radiusY=1600 / HEIGHT)],
        [CAT],
    ),
    "polygon with a part": (
        [
            region(
                "polygonlabels", points=[[1000 / WIDTH, 1200 / HEIGHT], [2000 / WIDTH, 30], [1500 / WIDTH, 40]], _id="p"
            ),
            region("polygonlabels", points=[[30, 30], [4000 / WIDTH, 30], [35, 4400 / HEIGHT]], _id="c", _parentID="p"),
        ],
        [CAT],
    ),
    "polygons in a rectangle of their label": (
        [
            region("rectanglelabels", **percent(*CAT[1:]), _id="r"),
            *(
                region("polygonlabels", points=[[x, 0], [x + 5, 0], [x, 50]], _id=f"w{x}", _parentID="r")
                for x in (0, 20)
            ),
        ],
        [CAT, ("cat", 0, 0, WIDTH / 20, HEIGHT / 2), ("cat", WIDTH / 5, 0, WIDTH / 4, HEIGHT / 2)],
    ),
    "parts of another label": (
        [
            region("polygonlabels", "car", points=[[0, 0], [50, 0], [0, 50]], _id="car"),
            *(
                region("polygonlabels", "wheel", points=[[x, 0], [x + 5, 0], [x, 50]], _id=f"w{x}", _parentID="car")
                for x in (0, 20)
            ),
        ],
        [
            ("car", 0, 0, WIDTH / 2, HEIGHT / 2),
            ("wheel", 0, 0, WIDTH / 20, HEIGHT / 2),
            ("wheel", WIDTH / 5, 0, WIDTH / 4, HEIGHT / 2),
        ],
    ),
    "brush": ([region("brushlabels", format="rle", rle=pack(BRUSHED))], [CAT]),
    "keypoint": ([region("keypointlabels", x=1, y=2, width=1)], []),
}


@pytest.mark.parametrize(("regions", "expected"), LABEL_STUDIO_SHAPES.values(), ids=LABEL_STUDIO_SHAPES)
def test_shapes_of_label_studio(
    tmp_path: Path, regions: list[dict[str, Any]], expected: list[tuple[object, ...]]
) -> None:
    folder = read_shapes(tmp_path, json.dumps([task("/data/local-files/?d=photos/a.png", *regions)]), "export.json")
    assert boxes(folder.images[0].objects) == expected
    kinds = [finding.kind for finding in folder.findings if finding.kind not in ("dialect", "wrong-size")]
    assert kinds == ["no-box"] * sum(record["type"] == "keypointlabels" for record in regions)


def prediction(file: Path, masked: bool, first_is_empty: bool = False) -> Prediction:
    """Two detections; with masks, the second is in two parts, and the first may have no pixel."""
    masks = np.zeros((2, *SIZE), bool)
    masks[0, 5:20, 10:30] = not first_is_empty
    masks[1, 0:10, 40:50] = masks[1, 30:40, 0:5] = True
    return Prediction(
        file=str(file),
        width=WIDTH,
        height=HEIGHT,
        boxes=np.array([[10.0, 5, 30, 20], [0, 0, 50, 40]]),
        scores=np.array([0.9, 0.25]),
        labels=np.array([1, 2]),
        masks=tuple(map(encode, masks)) if masked else None,
    )


@pytest.mark.parametrize(
    ("masked", "first_is_empty"),
    [(False, False), (True, False), (True, True)],
    ids=["boxes", "masks", "a mask without a pixel"],
)
@pytest.mark.parametrize("format_", ["cvat", "label-studio"])
def test_predictions_that_are_accepted_are_the_same_labels(
    tmp_path: Path, format_: str, masked: bool, first_is_empty: bool
) -> None:
    write_files(tmp_path, {"images/a.png": "image"})
    predicted = prediction(tmp_path / "images/a.png", masked, first_is_empty)
    if format_ == "cvat":
        write_cvat(tmp_path / "annotations.xml", [predicted], ("cat", "dog"))
    else:
        write_label_studio(tmp_path / "pre", [predicted], ("cat", "dog"))
        (pre,) = json.loads((tmp_path / "pre/tasks.json").read_text())
        regions = pre["predictions"][0]["result"]
        (tmp_path / "export.json").write_text(json.dumps([task(pre["data"]["image"], *regions)]))
    (image,) = scan_folder(tmp_path, None).images
    inset = 0.25 if masked and format_ == "label-studio" else 0  # the polygons run a quarter of a pixel inside
    assert [
        (instance.name, np.abs(np.subtract(instance.box, box)).max())
        for instance, box in zip(image.objects, predicted.boxes, strict=True)
    ] == [("cat", pytest.approx(0 if first_is_empty else inset)), ("dog", pytest.approx(inset))]
    for index, instance in enumerate(image.objects):
        assert (instance.mask is not None) == (masked and not (first_is_empty and index == 0))
        if instance.mask is not None and predicted.masks is not None:
            covered, expected = decode(instance.mask, SIZE), decode(predicted.masks[index], SIZE)
            assert (covered & expected).sum() / (covered | expected).sum() > (0.99 if format_ == "cvat" else 0.8)


def test_brush_masks_are_read_to_the_pixel_and_scaled_to_the_image(tmp_path: Path) -> None:
    record = region("brushlabels", rle=pack(BRUSHED))
    twice = region("brushlabels", rle=pack(BRUSHED.repeat(2, 0).repeat(2, 1)), _id="twice")
    twice |= {"original_width": 2 * WIDTH, "original_height": 2 * HEIGHT}
    folder = read_shapes(tmp_path, json.dumps([task("a.png", record, twice)]), "export.json")
    masks = [instance.mask for instance in folder.images[0].objects]
    assert [mask is not None and np.array_equal(decode(mask, SIZE), BRUSHED) for mask in masks] == [True, True]


def test_subsets_of_cvat_are_splits(tmp_path: Path) -> None:
    images = (f'name="a.png" subset="Train"\n{BOX}', 'name="b.png" subset="Validation"', 'name="c.png"')
    write_files(tmp_path, {f"images/{name}.png": "image" for name in "abc"} | {"annotations.xml": cvat(*images)})
    data = resolve_data(DataConfig(format="auto", root=str(tmp_path)))
    assert (data.train, data.val) == ("Train", "Validation")
    splits = scan_folder(tmp_path, None).splits
    assert {name: [image.name for image in part.images] for name, part in splits.items()} == {
        "Train": ["a.png"],
        "Validation": ["b.png"],
        "default": ["c.png"],
    }


def test_the_annotation_that_counts(tmp_path: Path) -> None:
    def annotation(label: str, created: str, **fields: Any) -> dict[str, Any]:
        records = [region("rectanglelabels", label, **percent(*CAT[1:]))]
        return {"result": records, "created_at": created, "was_cancelled": False, "ground_truth": False} | fields

    versions = [
        annotation("late", "2026-03"),
        annotation("early", "2026-01"),
        annotation("no", "2026-05", was_cancelled=True),
    ]
    tasks = [
        task("a.png", annotations=versions),
        task("b.png", annotations=[*versions, annotation("truth", "2025-01", ground_truth=True)]),
        task("c.png", annotations=[annotation("no", "2026-05", was_cancelled=True)]),
        task("d.png", annotations=[], predictions=[annotation("no", "2026-05")]),
    ]
    write_files(tmp_path, {f"{name}.png": "image" for name in "abcd"} | {"export.json": json.dumps(tasks)})
    folder = scan_folder(tmp_path, None)
    assert [[instance.name for instance in image.objects] for image in folder.images] == [["late"], ["truth"]]
    noted = {(finding.kind, Path(finding.file).name): finding.message for finding in folder.findings}
    assert len(noted) == len(folder.findings) == 3
    assert "skipped" in noted["unlabelled-image", "c.png"]
    assert "predictions" in noted["unlabelled-image", "d.png"]
    assert "2 tasks have several annotations" in noted["dialect", "export.json"]


@pytest.mark.parametrize(
    ("names", "difficult", "count"),
    [((), False, 0), (("difficult", "iscrowd"), True, 0), (("color", "difficult", "color"), True, 2)],
    ids=["none", "those that are read", "others"],
)
def test_attributes_of_cvat_that_are_not_read_are_counted(
    tmp_path: Path, names: tuple[str, ...], difficult: bool, count: int
) -> None:
    attributes = "".join(f'<attribute name="{name}">{str(name == "difficult").lower()}</attribute>' for name in names)
    box = f'<box label="cat" xtl="1" ytl="1" xbr="9" ybr="9">{attributes}</box>'
    folder = read_shapes(tmp_path, cvat(f'name="a.png"\n{box}'), "annotations.xml")
    assert [instance.difficult for instance in folder.images[0].objects] == [difficult]
    expected = [f"{count} labels, attributes or answers of images or regions are not read"] if count else []
    assert [finding.message for finding in folder.findings] == expected


def answer(kind: str, region_id: str) -> dict[str, Any]:
    record = {"type": kind, "from_name": kind, "to_name": "image", "id": region_id}
    return record | {"value": {kind: ["yes"]}}


@pytest.mark.parametrize(
    ("answers", "count"),
    [
        ([], 0),
        ([{"type": "relation", "from_id": RECTANGLE["id"], "to_id": "r", "direction": "right"}], 0),
        ([answer("choices", "whole image")], 1),
        ([answer("choices", RECTANGLE["id"])], 1),
        ([answer("choices", RECTANGLE["id"]), answer("textarea", RECTANGLE["id"]), answer("rating", "photo")], 3),
    ],
    ids=["none", "a relation", "on the image", "on a region", "on both"],
)
def test_answers_of_label_studio_are_counted_on_images_and_on_regions(
    tmp_path: Path, answers: list[dict[str, Any]], count: int
) -> None:
    folder = read_shapes(tmp_path, json.dumps([task("a.png", RECTANGLE, *answers)]), "export.json")
    assert boxes(folder.images[0].objects) == [CAT]
    expected = [f"{count} labels, attributes or answers of images or regions are not read"] if count else []
    assert [finding.message for finding in folder.findings] == expected


OTHER = RECTANGLE | {"id": "other", "to_name": "image2"}
TWO_IMAGES = {"image": "a.png", "image2": "b.png"}
PAGES = {"image": "a.png", "pages": ["b.png", "c.png"]}


@pytest.mark.parametrize(
    ("regions", "data"),
    [
        ([], TWO_IMAGES),
        ([RECTANGLE], TWO_IMAGES),
        ([RECTANGLE], PAGES),
        ([RECTANGLE | {"to_name": "photo"}], {"photo": "a.png", "pages": ["b.png"]}),
        ([RECTANGLE | {"to_name": "img"}], TWO_IMAGES),
        ([RECTANGLE, OTHER], {"image": "a.png"}),
        ([RECTANGLE, OTHER], {"image": "a.png", "image2": "a.png"}),
        ([RECTANGLE | {"item_index": 0}], {"image": "a.png"}),
    ],
    ids=["none", "one", "beside pages", "own name", "another tag", "one shown twice", "named twice", "the only page"],
)
def test_regions_of_one_of_several_images_of_label_studio_are_read(
    tmp_path: Path, regions: list[dict[str, Any]], data: dict[str, Any]
) -> None:
    folder = read_shapes(tmp_path, json.dumps([task("", *regions, data=data)]), "export.json")
    (image,) = folder.images
    assert (image.file.name, boxes(image.objects)) == ("a.png", [CAT] * len(regions))
    assert folder.findings == ()


REFUSED: dict[str, tuple[str, str]] = {
    "tracks of a video": (
        cvat().replace("</annotations>", '<track id="0" label="cat"><box frame="0"/></track></annotations>'),
        r"export.xml: expected CVAT for images, found 1 tracks of CVAT for video: export the task as CVAT for images",
    ),
    "no name": (cvat(f'name=""\n{BOX}'), "image 1: expected a name"),
    "no label": (cvat(f'name="a.png"\n{BOX.replace("cat", "")}'), r"box 1 of a\.png: expected a label"),
    "damaged points": (cvat('name="a.png"\n<polygon label="cat" points="1,2;x,4;5,6"/>'), "expected points"),
    "another shape": (cvat('name="a.png"\n<cube label="cat"/>'), "expected a shape of CVAT, found <cube>"),
    "missing image": (cvat(f'name="z.png"\n{BOX}'), "z.png: expected image 1 of .*export.xml, found nothing"),
    "twice": (cvat(f'name="a.png"\n{BOX}', 'name="a.png"'), "image 2: expected each image once"),
    "predictions alone": (
        json.dumps([task("a.png", annotations=[], predictions=[{"result": [RECTANGLE]}])]),
        "export.json: expected annotations, found none in 1 tasks",
    ),
    "turned image": (
        json.dumps([task("a.png", RECTANGLE | {"image_rotation": 90})]),
        '"image_rotation": expected 0, found 90',
    ),
    "no image": (json.dumps([task("a.mp4", RECTANGLE)]), 'task 3: "data": expected the address of one image'),
    "two images": (
        json.dumps([task("", RECTANGLE, data={"left": "a.png", "right": "b.png"})]),
        "expected the address of one image, found 2 images",
    ),
    "regions of two images": (
        json.dumps([task("a.png", RECTANGLE, OTHER, data=TWO_IMAGES)]),
        "task 3: expected regions of a.png alone, found those shown by image and image2: label each image in a task",
    ),
    "regions of another image": (
        json.dumps([task("a.png", OTHER, data=TWO_IMAGES)]),
        "task 3: expected regions of a.png alone, found those shown by image2: label",
    ),
    "regions of two pages": (
        json.dumps([task("a.png", *(RECTANGLE | {"id": str(page), "item_index": page} for page in (0, 1)))]),
        "task 3: expected regions of a.png alone, found those of page 0 and 1, from 0: label",
    ),
    "regions of the first page beside an image": (
        json.dumps([task("a.png", RECTANGLE | {"item_index": 0}, data=PAGES)]),
        "task 3: expected regions of a.png alone, found those of page 0, from 0: label",
    ),
    "rectangle without label": (
        json.dumps([task("a.png", region("rectangle", "", x=1))]),
        "expected a label, found none",
    ),
    "damaged brush": (json.dumps([task("a.png", region("brushlabels", rle=[0, 1]))]), "expected bytes of run lengths"),
    "points of text": (json.dumps([task("a.png", region("polygonlabels", points=[["x", 1]]))]), '"points": expected'),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_what_would_lose_labels_stops_training_and_is_counted_by_the_inspection(
    tmp_path: Path, content: str, message: str
) -> None:
    name, format_ = ("export.xml", "cvat") if content.startswith("<") else ("export.json", "label-studio")
    folder = read_shapes(tmp_path, content, name)
    assert any(finding.is_error for finding in folder.findings)
    with pytest.raises(UserError, match=message):
        load_sources(format_, [Source(tmp_path, "export")], None)  # type: ignore[arg-type]


def test_json_min_is_known(tmp_path: Path) -> None:
    rows = [{"image": "a.png", "id": 1, "label": [RECTANGLE["value"]], "annotator": 1, "annotation_id": 1}]
    write_files(tmp_path, {"export.json": json.dumps(rows), "a.png": "image"})
    with pytest.raises(UserError, match=r"export\.json is JSON-MIN of Label Studio: export as JSON"):
        detect_format(tmp_path)
    with pytest.raises(UserError, match="export as JSON, not JSON-MIN"):
        load_sources("label-studio", [Source(tmp_path, "export")], None)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("a.png", "a.png"),
        ("/data/upload/1/0a1b2c3d-a.png", "data/upload/1/0a1b2c3d-a.png"),
        ("/data/local-files/?d=my%20photos/a.png", "my photos/a.png"),
        ("/data/local-files/?d=C%3A%5Cphotos%5Ca.png", "photos/a.png"),
        ("https://host/photos/a%20b.png?sig=1/2.png", "photos/a b.png"),
        ("s3://bucket/photos/a.png", "photos/a.png"),
        ("seen at http://[", "["),
    ],
)
def test_image_path(address: str, expected: str) -> None:
    assert image_path(address).as_posix() == expected


def test_uploaded_images_are_those_before_the_upload(tmp_path: Path) -> None:
    tasks = [task(f"/data/upload/1/0a1b2c3{i}-{name}", RECTANGLE) for i, name in enumerate(["a_1.png", "b.png"])]
    write_files(tmp_path, {"export.json": json.dumps(tasks), "photos/a (1).png": "image", "photos/b.png": "image"})
    folder = scan_folder(tmp_path, None)
    assert [image.file.name for image in folder.images] == ["a (1).png", "b.png"]
    assert [finding.kind for finding in folder.findings] == ["dialect", "dialect"]


@pytest.mark.parametrize(("mark", "occluded"), [("0", False), ("1", True)])
def test_cvat_says_which_objects_are_occluded(mark: str, occluded: bool, tmp_path: Path) -> None:
    content = cvat("name='a.png'\n" + BOX.replace('occluded="0"', f'occluded="{mark}"'))
    (image,) = read_shapes(tmp_path, content).images
    assert [instance.occluded for instance in image.objects] == [occluded]
