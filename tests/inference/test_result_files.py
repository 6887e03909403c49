from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detect.data.masks import encode
from detect.errors import UserError
from detect.evaluation.predictions import Prediction
from detect.inference.coco_ids import write_coco_images
from detect.inference.listed_images import listed_images
from detect.inference.result_files import read_results
from detect.inference.result_formats import (
    FOLDER_FORMATS,
    RESULT_FORMATS,
    default_score,
    describe_left_out,
    describe_lost_fields,
    file_name,
    write_format,
    write_results,
)
from tests.conftest import Command

CLASSES = ("cat", "dining table", "dog")
BOXES = [[0.1 + 0.2, 1e-5, 57.1, 88.0], [10.0, 20.0, 60.0, 40.0]]
MASKS = tuple(encode(np.arange(20000).reshape(100, 200) % n == 0) for n in (7, 900))


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return write_photos(tmp_path)


def write_photos(folder: Path) -> list[Path]:
    """Write three photos of 200 x 100 pixels, one in a folder of its own."""
    files = [folder / "photos" / name for name in ("a.jpg", "b c.png", "inner/d.jpg")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.full((100, 200, 3), 90, np.uint8))
    return files


def predictions(files: list[Path]) -> list[Prediction]:
    """The first photo has two detections, the others none."""
    empty = [Prediction(str(file), 200, 100, np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64)) for file in files]
    first = replace(empty[0], boxes=np.array(BOXES), scores=np.array([0.9, 0.1 + 0.2]), labels=np.array([3, 1]))
    return [first, *empty[1:]]


def comparable(found: list[Prediction], classes: tuple[str, ...]) -> list[tuple[str, int, int, Any]]:
    return [
        (
            Path(p.file).name,
            p.width,
            p.height,
            sorted(zip(p.scores.tolist(), [classes[k - 1] for k in p.labels], strict=True)),
        )
        for p in found
    ]


@pytest.mark.parametrize("name", ["json", "csv", "coco", "voc", "yolo"])
def test_every_format_is_read_back_with_all_images(name, photos, tmp_path):
    written = predictions(photos)
    path = tmp_path / file_name(name)
    write_format(path, name, written, CLASSES, None)
    images = None if name == "json" else listed_images(photos)
    results = read_results(path, images)
    assert comparable(results.predictions, results.classes) == comparable(written, CLASSES)
    assert [p.file for p in results.predictions] == [p.file for p in written]
    best = next(p for p in results.predictions if len(p))
    assert best.boxes[np.argmax(best.scores)] == pytest.approx(np.array(BOXES[0]), abs=1e-9)


@pytest.mark.parametrize("name", ["json", "csv", "coco", "voc", "yolo"])
def test_classes_that_look_like_numbers_are_read_back(name, photos, tmp_path):
    classes = ("1e3", "dining table", "007")
    write_format(tmp_path / file_name(name), name, predictions(photos), classes, None)
    results = read_results(tmp_path / file_name(name), None if name in ("json", "coco") else listed_images(photos))
    assert {results.classes[label - 1] for p in results.predictions for label in p.labels} == {"1e3", "007"}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("{0: cat, 1: 1e3, 2: dog}", "1e3, which YAML reads as 1000.0"),
        ("[007, cat, dog]", "007, which YAML reads as 7"),
        ("[cat, no, dog]", "false"),
    ],
)
def test_classes_of_yolo_that_are_no_text_are_refused(names, found, photos, tmp_path):
    write_format(tmp_path / "yolo", "yolo", predictions(photos), CLASSES, None)
    (tmp_path / "yolo/data.yaml").write_text(f"names: {names}\n")
    with pytest.raises(UserError, match=rf"data\.yaml: names: expected text, found {found}: put .* in quotes"):
        read_results(tmp_path / "yolo", listed_images(photos))


def test_nothing_is_read_from_files_of_no_images(tmp_path):
    for name in ("json", "csv", "coco"):
        path = tmp_path / file_name(name)
        write_format(path, name, [], CLASSES, None)
        assert read_results(path).predictions == []


def test_photos_of_another_size_than_the_detections_are_refused(photos, tmp_path):
    path = tmp_path / "predictions.json"
    write_format(path, "json", predictions(photos), CLASSES, None)
    copies = [tmp_path / "copies" / file.relative_to(tmp_path / "photos") for file in photos]
    for copy in copies:
        copy.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(copy), np.full((100, 200, 3), 90, np.uint8))
    assert [p.file for p in read_results(path, listed_images(copies)).predictions] == [str(copy) for copy in copies]
    for copy in copies[:2]:
        cv2.imwrite(str(copy), np.full((50, 100, 3), 90, np.uint8))
    with pytest.raises(UserError, match=r"a\.jpg: expected 200 x 100 pixels, as .*json has for .*, found 100 x 50"):
        read_results(path, listed_images(copies))


def test_an_entry_without_detections_takes_the_size_of_its_photo(photos, tmp_path):
    path = tmp_path / "predictions.json"
    unread = replace(predictions(photos)[1], width=30, height=40)  # the size that its labels state
    write_format(path, "json", [unread], CLASSES, None)
    (found,) = read_results(path, listed_images(photos[1:2])).predictions
    assert (found.width, found.height, len(found)) == (200, 100, 0)


def test_sizes_of_an_annotation_file_may_be_those_before_photos_are_turned_upright(photos, tmp_path):
    written = predictions(photos)
    write_format(tmp_path / "predictions.json", "json", written, CLASSES, None)
    turned = [replace(prediction, width=100, height=200) for prediction in written]
    write_coco_images(tmp_path / "gt.json", turned, CLASSES)
    results = read_results(tmp_path / "predictions.json", annotations=tmp_path / "gt.json")
    assert [len(prediction) for prediction in results.predictions] == [2, 0, 0]
    found = results.predictions[0]
    assert (found.width, found.height, found.boxes.tolist()) == (200, 100, BOXES)


@pytest.mark.parametrize("name", RESULT_FORMATS)
def test_a_format_is_a_folder_or_a_file(name, photos, tmp_path):
    write_format(tmp_path / "out", name, predictions(photos), CLASSES, None)
    assert (tmp_path / "out").is_dir() is (name in FOLDER_FORMATS)


@pytest.mark.parametrize("name", RESULT_FORMATS)
def test_convert_says_which_formats_lose_masks(name, photos, tmp_path, detect_command: Command):
    write_format(tmp_path / "p.json", "json", [replace(predictions(photos)[0], masks=MASKS)], CLASSES, None)
    status, out, _ = detect_command("results", "convert", tmp_path / "p.json", tmp_path / "out", "--to", name)
    line = f"{name} has no field for masks: not written"
    assert (status, line in out.splitlines()) == (0, name in ("csv", "voc", "yolo", "yolo-labels"))


def test_predictions_without_masks_and_tracks_lose_no_field(photos):
    assert describe_lost_fields(RESULT_FORMATS, predictions(photos)) == []


def test_masks_go_from_json_to_coco_and_back(photos, tmp_path):
    written = [replace(predictions(photos)[0], masks=MASKS)]
    write_format(tmp_path / "coco_results.json", "coco", written, CLASSES, None)
    assert read_results(tmp_path / "coco_results.json").predictions[0].masks == MASKS


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.csv", "a,b\n", ["expected the columns file,label,score"]),
        ("p.csv", "file,label,score,x1,y1,x2,y2\na.jpg,cat,0.5,1,2,x,4\n", ["line 2", "expected numbers"]),
        ("p.csv", "file,label,score,x1,y1,x2,y2\ngone.jpg,cat,0.5,1,2,3,4\n", ["gone.jpg", "--images"]),
        ("dt.json", '[{"image_id": 1}]', ["dt_images.json", "--annotations GT.json"]),
        ("yolo/data.yaml", "names: {0: cat}\n", ["expected --images with yolo"]),
        ("comp4/comp4_det_cat.txt", "", ["expected --images with voc"]),
        ("other/notes.md", "", ["expected a file of results"]),
    ],
)
def test_what_cannot_be_read_is_one_line(name, content, words, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    with pytest.raises(UserError) as raised:
        read_results(path if path.parent == tmp_path else path.parent)
    assert all(word in str(raised.value) for word in words)
    assert "\n" not in str(raised.value)


def test_each_format_has_its_lowest_score(photos, tmp_path):
    scores: dict[str, float] = {name: default_score(name) for name in RESULT_FORMATS}
    assert {name for name, score in scores.items() if score == 0.05} == {"coco", "voc"}
    assert set(scores.values()) == {0.05, 0.5}
    write_results(tmp_path, scores, predictions(photos), CLASSES, None)
    assert [len(image["detections"]) for image in json.loads((tmp_path / "predictions.json").read_text())] == [1, 0, 0]
    assert len(json.loads((tmp_path / "coco_results.json").read_text())) == 2


@pytest.mark.parametrize(
    ("addresses", "names", "short_names"),
    [
        ([], [], set()),
        (["tar://a/1.jpg::/x/y.tar", "tar://b/2.jpg::/x/y.tar"], ["a/1.jpg", "b/2.jpg"], {"1", "2"}),
        (["tar://1.jpg::/x/y.tar", "tar://1.jpg::/x/z.tar"], ["y.tar/1.jpg", "z.tar/1.jpg"], {"y.tar/1", "z.tar/1"}),
    ],
)
def test_parts_of_tar_files_are_converted_by_the_paths_in_them(
    addresses, names, short_names, tmp_path, detect_command: Command
):
    pytest.importorskip("pyarrow.parquet", reason="the extra scale is not installed")
    from tests.inference.shards.test_read_parts import KEY, write_parts

    (detected,) = predictions([Path("x.jpg")])
    rows = [replace(detected, file=address) for address in addresses]
    write_parts(tmp_path / "parts", rows, key=replace(KEY, classes=CLASSES))
    write_format(tmp_path / "gt.json", "coco", [replace(detected, file=name) for name in names], CLASSES, None)
    convert = ("results", "convert", tmp_path / "parts")
    annotated = (tmp_path / "dt.json", "--to", "coco", "--annotations", tmp_path / "gt_images.json")
    assert detect_command(*convert, *annotated)[0] == 0
    assert [row["image_id"] for row in json.loads((tmp_path / "dt.json").read_text())] == [1, 1, 2, 2][: 2 * len(names)]
    assert detect_command(*convert, tmp_path / "coco.json", "--to", "coco")[0] == 0
    assert [prediction.file for prediction in read_results(tmp_path / "coco.json").predictions] == names
    assert detect_command(*convert, tmp_path / "yolo", "--to", "yolo")[0] == 0
    written = {file.relative_to(tmp_path / "yolo").with_suffix("") for file in tmp_path.glob("yolo/**/*.txt")}
    assert written == set(map(Path, short_names))


def test_convert_counts_what_it_writes(photos, tmp_path, detect_command: Command):
    write_format(tmp_path / "predictions.json", "json", predictions(photos), CLASSES, None)
    yolo, coco = tmp_path / "yolo", tmp_path / "dt.json"
    status, out, err = detect_command("results", "convert", tmp_path / "predictions.json", yolo, "--to", "yolo")
    assert (status, err) == (0, "")
    assert out.endswith("yolo: 2 detections in 3 images, 2 classes\n")
    arguments = ("results", "convert", yolo, coco, "--to", "coco", "--images", tmp_path / "photos", "--score", 0.5)
    status, out, err = detect_command(*arguments)
    assert (status, err) == (0, "")
    assert out.endswith("dt.json: 1 detection (1 below 0.5 left out) in 3 images, 2 classes\n")
    assert [image["id"] for image in json.loads((tmp_path / "dt_images.json").read_text())["images"]] == [1, 2, 3]
    status, _, err = detect_command("results", "convert", coco, coco, "--to", "json")
    assert (status, "expected another file than SRC" in err) == (2, True)


@pytest.mark.parametrize("name", RESULT_FORMATS)
def test_photos_that_are_not_here_and_boxes_outside_are_counted(name, photos, tmp_path, detect_command: Command):
    image = predictions(photos)[0]
    outside = replace(image, boxes=np.array([[10.0, 20, 60, 40], [250, 20, 260, 40]]))
    write_format(tmp_path / "coco_results.json", "coco", [outside, *predictions(photos)[1:]], CLASSES, None)
    lines = {"yolo-labels": ["1 box outside the photo left out"]}
    links = {"yolo-labels", "label-studio"}
    for given in ((), ("--images", tmp_path / "photos")):
        expected = [f"{name}: {line}" for line in lines.get(name, [])]
        if not given and name in links:
            expected.insert(0, f"{name}: 3 photos not found, so not linked to, a.jpg first; name them with --images")
        command = ("results", "convert", tmp_path / "coco_results.json", tmp_path / f"out{len(given)}", "--to", name)
        status, out, err = detect_command(*command, *given)
        assert (status, err) == (0, "")
        assert [
            line for line in out.splitlines() if line.startswith(f"{name}: ") and "start it" not in line
        ] == expected
    assert (tmp_path / "out2/images/inner/d.jpg").is_symlink() is (name == "yolo-labels")


def test_the_source_may_be_the_current_folder(photos, tmp_path, monkeypatch, detect_command: Command):
    write_format(tmp_path / "voc", "voc", predictions(photos), CLASSES, None)
    monkeypatch.chdir(tmp_path / "voc")
    status, out, err = detect_command("results", "convert", ".", "../dt.json", "--to", "coco", "--images", "../photos")
    assert (status, err) == (0, "")
    assert "2 detections in 3 images" in out


def test_nothing_is_left_out_of_no_predictions():
    assert [describe_left_out(name, []) for name in RESULT_FORMATS] == [[]] * len(RESULT_FORMATS)
