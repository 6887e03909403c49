from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.masks import encode
from detect.errors import UserError
from detect.evaluation.predictions import Prediction, align
from detect.evaluation.voc import evaluate_voc
from detect.inference.coco_ids import write_coco_images
from detect.inference.result_readers import (
    comp4_classes,
    json_classes,
    load_coco_results,
    read_comp4,
    read_json,
)
from detect.inference.result_writers import short_image_names, write_coco, write_comp4, write_csv, write_json
from detect.inference.yolo_results import write_yolo, write_yolo_labels

CLASSES = ("cat", "dog", "dining table")
MASKS = tuple(encode(np.arange(20000).reshape(100, 200) % n == 0) for n in (7, 900))
INEXACT = 0.1 + 0.2  # 0.30000000000000004


def make_prediction(file: str, found: list[tuple[list[float], float, int]]) -> Prediction:
    return Prediction(
        file=file,
        width=200,
        height=100,
        boxes=np.array([box for box, _, _ in found], float).reshape(-1, 4),
        scores=np.array([score for _, score, _ in found], float),
        labels=np.array([label for _, _, label in found], np.int64),
    )


def make_annotations(files: list[str], boxes: Any = ()) -> Annotations:
    """Each image has the boxes, all cats; image ids 10, 20 ...; category ids with gaps."""
    box = np.array(boxes, float).reshape(-1, 4)
    no = np.zeros(len(box), bool)
    images = [
        ImageAnnotation(file, 10 * place, (100, 200), box, np.ones(len(box), np.int64), no, no, np.ones(len(box)))
        for place, file in enumerate(files, 1)
    ]
    return Annotations.from_images(images, CLASSES, category_ids=[4, 9, 2])


TWO_DETECTIONS = [
    make_prediction("/p/a b.jpg", [([INEXACT, 1e-5, 57.1, 88.0], INEXACT, 3), ([10.0, 20.0, 60.0, 40.0], 0.25, 1)])
]
PREDICTIONS = {
    "no images": [],
    "no detections": [make_prediction("/p/a.jpg", []), make_prediction("/p/ü.png", [])],
    "two detections": TWO_DETECTIONS,
    "best first": [
        make_prediction("/p/a.jpg", [([1, 2, 3, 4], 0.1, 1), ([5, 6, 7, 8], 0.9, 1), ([0, 0, 1, 1], 0.1, 2)])
    ],
    "two images": [*TWO_DETECTIONS, make_prediction("/p/c.jpg", [([-1.5, -2.0, 300.0, 200.0], 1.0, 2)])],
}


def to_comparable(predictions: list[Prediction]) -> list[tuple[str, int, int, Any]]:
    """Return the content of a written file: best first, detections of equal score in their order."""
    rows = []
    for p in predictions:
        order = sorted(range(len(p)), key=lambda row, p=p: -p.scores[row])  # type: ignore[misc]
        found = [(p.boxes[i].tolist(), p.scores[i], p.labels[i]) for i in order]
        rows.append((p.file, p.width, p.height, found))
    return rows


def predictions_from_coco(rows: list[dict[str, Any]], annotations: Annotations) -> list[Prediction]:
    """Return a Prediction for each image of the annotations, with the rows of a COCO results file."""
    labels = {category_id: label for label, category_id in enumerate(annotations.category_ids.tolist(), 1)}
    detections: dict[int, list[tuple[list[float], float, int]]] = {i: [] for i in annotations.image_ids.tolist()}
    for row in rows:
        x, y, width, height = row["bbox"]
        box = [x, y, x + width, y + height]
        detections[row["image_id"]].append((box, row["score"], labels[row["category_id"]]))
    files = [annotations.file(index) for index in range(len(annotations))]
    return [make_prediction(file, found) for file, found in zip(files, detections.values(), strict=True)]


def sort_by_class(rows: list[tuple[str, int, int, Any]]) -> list[tuple[str, int, int, Any]]:
    """Sort detections by class, as a comp4 folder keeps the order within a class only."""
    return [(*image, sorted(found, key=lambda row: row[2])) for *image, found in rows]  # type: ignore[misc]


@pytest.mark.parametrize("predictions", PREDICTIONS.values(), ids=PREDICTIONS)
def test_json_round_trip_is_exact(predictions, tmp_path):
    write_json(tmp_path / "predictions.json", predictions, CLASSES)
    assert to_comparable(read_json(tmp_path / "predictions.json", CLASSES)) == to_comparable(predictions)


MASKED = [
    replace(make_prediction("/p/a.jpg", [([1, 2, 3, 4], 0.1, 1), ([5, 6, 7, 8], 0.9, 2)]), masks=MASKS),
    replace(make_prediction("/p/b.jpg", []), masks=None),
]


def test_masks_are_written_as_run_lengths_and_read_back(tmp_path):
    file = tmp_path / "predictions.json"
    write_json(file, MASKED, CLASSES)
    first = json.loads(file.read_text())[0]["detections"][0]
    assert first["mask"] == {"size": [100, 200], "counts": MASKS[1].counts.decode()}
    assert [prediction.masks for prediction in read_json(file, CLASSES)] == [MASKS[::-1], None]
    write_coco(tmp_path / "coco_results.json", MASKED, [10, 20], [4, 9, 2])
    rows = load_coco_results(tmp_path / "coco_results.json", [10, 20], [4, 9, 2], Path("gt.json"))
    assert [row["segmentation"]["counts"] for row in rows] == [mask.counts.decode() for mask in MASKS[::-1]]
    write_json(file, TWO_DETECTIONS, CLASSES)
    assert "mask" not in file.read_text()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ({"mask": 3}, 'detection 1: mask: "size": expected'),
        ({"mask": {"size": [100, 200], "counts": "0"}}, 'detection 1: mask: "counts": expected runs over 20000 pixels'),
        ({}, 'expected "mask" in each of 2 detections or in none, found 1'),
    ],
)
def test_masks_that_cannot_be_read_are_one_line(mask, message, tmp_path):
    file = tmp_path / "predictions.json"
    write_json(file, MASKED, CLASSES)
    content = json.loads(file.read_text())
    detection = content[0]["detections"][0]
    del detection["mask"]
    detection |= mask
    file.write_text(json.dumps(content))
    with pytest.raises(UserError) as raised:
        read_json(file, CLASSES)
    assert message in str(raised.value)


@pytest.mark.parametrize("predictions", PREDICTIONS.values(), ids=PREDICTIONS)
def test_comp4_round_trip_is_exact(predictions, tmp_path):
    write_comp4(tmp_path, predictions, CLASSES)
    assert comp4_classes(tmp_path) == ["cat", "dining table", "dog"]
    found = read_comp4(tmp_path, make_annotations([p.file for p in predictions]))
    assert sort_by_class(to_comparable(found)) == sort_by_class(to_comparable(predictions))


@pytest.mark.parametrize("predictions", PREDICTIONS.values(), ids=PREDICTIONS)
def test_coco_round_trip(predictions, tmp_path):
    annotations = make_annotations([p.file for p in predictions])
    write_coco(tmp_path / "dt.json", predictions, annotations.image_ids, annotations.category_ids)
    found = predictions_from_coco(
        load_coco_results(tmp_path / "dt.json", {10, 20}, {4, 9, 2}, Path("gt.json")), annotations
    )
    for (*image, rows), (*same_image, expected) in zip(to_comparable(found), to_comparable(predictions), strict=True):
        assert image == same_image
        assert [row[1:] for row in rows] == [row[1:] for row in expected]
        for row, same in zip(rows, expected, strict=True):
            assert row[0] == pytest.approx(same[0], rel=1e-14)


def test_json_format(tmp_path):
    write_json(tmp_path / "p.json", PREDICTIONS["best first"], CLASSES)
    assert json.loads((tmp_path / "p.json").read_text()) == [
        {
            "file": "/p/a.jpg",
            "width": 200,
            "height": 100,
            "detections": [
                {"box": [5.0, 6.0, 7.0, 8.0], "label": "cat", "score": 0.9},
                {"box": [1.0, 2.0, 3.0, 4.0], "label": "cat", "score": 0.1},
                {"box": [0.0, 0.0, 1.0, 1.0], "label": "dog", "score": 0.1},
            ],
        }
    ]
    assert json_classes(tmp_path / "p.json") == ["cat", "dog"]


@pytest.mark.parametrize("name", ["red/green", "/", "../cat"])
def test_a_class_that_no_file_can_be_named_for_is_refused_before_any_file(name, tmp_path):
    with pytest.raises(UserError, match=r"voc: expected class names that a file name can have, found .*json or coco"):
        write_comp4(tmp_path, TWO_DETECTIONS, ("cat", "dog", name))
    assert list(tmp_path.iterdir()) == []


ZOO = ("cat", "N/A 12", "dining table")


@pytest.mark.parametrize("name", ["no images", "no detections", "two detections"])
def test_a_class_without_a_name_has_no_file(name, tmp_path):
    tracked = [replace(p, tracks=np.zeros(len(p), np.int64)) for p in PREDICTIONS[name]]
    write_comp4(tmp_path, tracked, ZOO)
    assert comp4_classes(tmp_path) == ["cat", "dining table"]
    tracks = {"tracks_cat.txt", "tracks_dining table.txt"} if tracked else set()
    assert {path.name for path in tmp_path.rglob("*") if "det" not in path.name} == tracks


def test_a_detection_of_a_class_without_a_name_is_refused_before_any_file(tmp_path):
    with pytest.raises(UserError, match=r"voc: expected class names .*, found N/A 12: write json or coco"):
        write_comp4(tmp_path, PREDICTIONS["two images"], ZOO)
    assert list(tmp_path.iterdir()) == []


def test_coco_results_format(tmp_path):
    write_coco(tmp_path / "dt.json", TWO_DETECTIONS, [7], [4, 9, 2])
    assert json.loads((tmp_path / "dt.json").read_text()) == [
        {"image_id": 7, "category_id": 2, "bbox": [INEXACT, 1e-5, 57.1 - INEXACT, 88 - 1e-5], "score": INEXACT},
        {"image_id": 7, "category_id": 4, "bbox": [10, 20, 50, 20], "score": 0.25},
    ]


def test_coco_images_format(tmp_path):
    write_coco_images(
        tmp_path / "coco_images.json", [make_prediction("/p/x/1.jpg", []), make_prediction("/p/2.jpg", [])], CLASSES
    )
    content = json.loads((tmp_path / "coco_images.json").read_text())
    assert content["images"][0] == {"id": 1, "file_name": "x/1.jpg", "width": 200, "height": 100}
    assert content["images"][1]["file_name"] == "2.jpg"
    assert content["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": CLASSES[2]}]


def test_comp4_format(tmp_path):
    write_comp4(tmp_path, TWO_DETECTIONS, CLASSES)
    assert (tmp_path / "comp4_det_cat.txt").read_text() == "a b 0.25 11.0 21.0 60.0 40.0\n"
    assert (tmp_path / "comp4_det_dog.txt").read_text() == ""
    line = (tmp_path / "comp4_det_dining table.txt").read_text()
    assert line == "a b 0.30000000000000004 1.30000000000000004 1.00001 57.1 88.0\n"


def test_csv_format(tmp_path):
    write_csv(tmp_path / "none.csv", [], CLASSES)
    assert (tmp_path / "none.csv").read_text() == "file,label,score,x1,y1,x2,y2\n"
    write_csv(tmp_path / "p.csv", [make_prediction('/p/"a", b.jpg', [([INEXACT, 1, 2, 3], 0.5, 3)])], CLASSES)
    with (tmp_path / "p.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["file"], row["label"], float(row["x1"])) for row in rows] == [
        ('/p/"a", b.jpg', "dining table", INEXACT)
    ]
    assert [float(rows[0][name]) for name in ("score", "y1", "x2", "y2")] == [0.5, 1, 2, 3]


def test_yolo_format(tmp_path):
    write_yolo(tmp_path / "labels", [*TWO_DETECTIONS[:1], make_prediction("/p/none.jpg", [])], CLASSES)
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == ["a b.txt", "data.yaml", "none.txt"]
    names = yaml.safe_load((tmp_path / "labels/data.yaml").read_text())
    assert names == {"names": {0: "cat", 1: "dog", 2: "dining table"}}
    assert (tmp_path / "labels/none.txt").read_text() == ""
    rows = [list(map(float, line.split())) for line in (tmp_path / "labels/a b.txt").read_text().splitlines()]
    assert rows[1] == [0, 35 / 200, 0.3, 0.25, 0.2, 0.25]
    assert rows[0] == pytest.approx([2, (57.1 + INEXACT) / 400, 0.44, (57.1 - INEXACT) / 200, 0.88, INEXACT], abs=1e-6)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], {"data.yaml"}),
        (["/p/a.jpg"], {"data.yaml", "labels/a.txt"}),
        (["/p/a.jpg", "/p/a.png"], {"data.yaml", "labels/a.jpg.txt", "labels/a.png.txt"}),
        (["/p/x/images/a.jpg", "/p/b.jpg"], {"data.yaml", "images/x/labels/a.txt", "labels/b.txt"}),
    ],
)
def test_yolo_labels_lie_where_ultralytics_looks_for_them(files, expected, tmp_path):
    write_yolo_labels(tmp_path, [make_prediction(file, []) for file in files], CLASSES)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")} == expected


def test_yolo_labels_have_five_columns_inside_the_image(tmp_path):
    boxes = [
        ([-10.0, 20.0, 60.0, 140.0], 0.5, 3),
        ([250.0, 0.0, 300.0, 50.0], 0.4, 1),
        ([10.0, 20.0, 60.0, 40.0], 0.25, 1),
    ]
    write_yolo_labels(tmp_path, [make_prediction("/p/a.jpg", boxes)], CLASSES)
    lines = (tmp_path / "labels/a.txt").read_text().splitlines()
    assert [list(map(float, line.split())) for line in lines] == [
        [2, 0.15, 0.6, 0.3, 0.8],
        pytest.approx([0, 35 / 200, 0.3, 0.25, 0.2]),
    ]
    content = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert (content["train"], content["val"], content["names"][2]) == ("images", "images", "dining table")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], []),
        (["/p/a.jpg"], ["a"]),
        (["/p/a.jpg", "/p/x/b.jpg"], ["a", "b"]),
        (["/p/a.jpg", "/p/x/a.jpg"], ["a", "x/a"]),
        (["/p/a.jpg", "/p/a.png"], ["a.jpg", "a.png"]),
    ],
)
def test_short_image_names_are_unique(files, expected):
    assert short_image_names(files) == expected
    assert [
        p.file for p in align(make_annotations(files), [make_prediction(name, []) for name in expected])
    ] == expected


_number = st.just(0.0) | st.floats(1e-9, 200)  # 28 decimal digits hold x + 1 exactly
_row = st.tuples(st.lists(_number, min_size=4, max_size=4), st.floats(0, 1), st.integers(1, 3))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(_row, max_size=5), max_size=3))
def test_any_number_is_read_back_exactly(tmp_path_factory, images):
    folder: Path = tmp_path_factory.mktemp("any")
    predictions = [make_prediction(f"/p/{place}.jpg", rows) for place, rows in enumerate(images)]
    write_json(folder / "p.json", predictions, CLASSES)
    write_comp4(folder, predictions, CLASSES)
    assert to_comparable(read_json(folder / "p.json", CLASSES)) == to_comparable(predictions)
    text = read_comp4(folder, make_annotations([p.file for p in predictions]))
    assert sort_by_class(to_comparable(text)) == sort_by_class(to_comparable(predictions))


def test_json_and_comp4_score_the_same(tmp_path):
    draw = np.random.default_rng(0)
    corners = draw.uniform(0, 50, (4, 2))
    truth = np.concatenate([corners, corners + draw.uniform(20, 100, (4, 2))], axis=1)
    annotations = make_annotations([f"/p/{place}.jpg" for place in range(20)], truth)
    predictions = [
        make_prediction(
            f"/p/{place}.jpg", [((truth[k % 4] + draw.normal(0, 8, 4)).tolist(), draw.random(), 1) for k in range(9)]
        )
        for place in range(20)
    ]
    write_json(tmp_path / "p.json", predictions, CLASSES)
    write_comp4(tmp_path, predictions, CLASSES)
    scored = evaluate_voc(annotations, predictions, "voc07").mAP
    assert scored is not None
    assert 0.1 < scored < 0.9
    for found in (align(annotations, read_json(tmp_path / "p.json", CLASSES)), read_comp4(tmp_path, annotations)):
        assert evaluate_voc(annotations, found, "voc07").mAP == pytest.approx(scored, abs=1e-9)


RECORD = {"file": "a.jpg", "width": 2, "height": 2, "detections": []}
DETECTION = {"box": [0, 0, 1, 1], "label": "cat", "score": 0.5}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["damaged JSON"]),
        ("{}", ["a list of images", "found {}"]),
        (json.dumps([RECORD, 3]), ["entry 2", '"file"', "found 3"]),
        (json.dumps([{**RECORD, "width": "2"}]), ["entry 1", '"width"']),
        (json.dumps([{**RECORD, "detections": [DETECTION, {}]}]), ["entry 1: detection 2", '"box"', "found {}"]),
        (json.dumps([{**RECORD, "detections": [{**DETECTION, "box": [1, 2, 3]}]}]), ["detection 1", "[1, 2, 3]"]),
        (json.dumps([{**RECORD, "detections": [{**DETECTION, "score": "high"}]}]), ["detection 1", '"high"']),
        (json.dumps([{**RECORD, "detections": [{**DETECTION, "score": float("nan")}]}]), ["detection 1", "NaN"]),
        (
            json.dumps([{**RECORD, "detections": [{**DETECTION, "label": "cta"}]}]),
            ["detection 1", 'did you mean "cat"'],
        ),
    ],
)
def test_json_errors_state_file_and_location(content, words, tmp_path):
    path = tmp_path / "p.json"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_json(path, CLASSES)
    assert all(word in str(caught.value) for word in [str(path), *words])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("\n", ["line 1", "image score xmin ymin xmax ymax"]),
        ("1 0.5 1 1 2\n", ["line 1", "1 0.5 1 1 2"]),
        ("1 0.5 1 1 2 2\n1 0.5 x 1 2 2\n", ["line 2"]),
        ("1 nan 1 1 2 2\n", ["line 1"]),
        ("2 0.5 1 1 2 2\n", ["line 1", "expected one of the 1 images"]),
    ],
)
def test_comp4_errors_state_file_and_location(content, words, tmp_path):
    write_comp4(tmp_path, [], CLASSES)
    (tmp_path / "comp4_det_dog.txt").write_text(content)
    with pytest.raises(UserError) as caught:
        read_comp4(tmp_path, make_annotations(["/p/1.jpg"]))
    assert all(word in str(caught.value) for word in [str(tmp_path / "comp4_det_dog.txt"), *words])


def test_comp4_without_a_file_for_each_class_raises(tmp_path):
    (tmp_path / "comp4_det_dogs.txt").touch()
    with pytest.raises(UserError, match="the detections of cat"):
        read_comp4(tmp_path, make_annotations([]))
    with pytest.raises(UserError, match="expected a folder"):
        read_comp4(tmp_path / "comp4_det_dogs.txt", make_annotations([]))


COCO_RESULT = {"image_id": 1, "category_id": 4, "bbox": [0, 0, 1, 1], "score": 0.5}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, ["a list of COCO results", "found {}"]),
        ([COCO_RESULT, {}], ["result 2", '"image_id"', "found {}"]),
        ([{**COCO_RESULT, "image_id": 2}], ["result 1", "an image in gt.json", "found 2"]),
        ([{**COCO_RESULT, "image_id": [1]}], ["result 1", "an image in gt.json", "found [1]"]),
        ([{**COCO_RESULT, "category_id": 3}], ["result 1", "a category in gt.json", "found 3"]),
        ([{**COCO_RESULT, "bbox": [0, 0, 1, None]}], ["result 1", '"bbox"']),
    ],
)
def test_coco_errors_state_file_and_location(content, words, tmp_path):
    path = tmp_path / "dt.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        load_coco_results(path, {1}, {4}, Path("gt.json"))
    assert all(word in str(caught.value) for word in [str(path), *words])
