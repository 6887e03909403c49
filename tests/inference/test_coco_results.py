"""COCO results are read by the list of images that belongs to them, with the paths and sizes of the photos given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.errors import UserError
from detect.inference.coco_ids import write_coco_images
from detect.inference.coco_results import listing_file, read_coco_listing
from detect.inference.listed_images import listed_images
from detect.inference.result_files import read_results
from detect.inference.result_formats import write_format
from tests.conftest import Command
from tests.inference.test_result_files import CLASSES, predictions, write_photos


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return write_photos(tmp_path)


@pytest.mark.parametrize(("name", "status"), [("dt.json", 0), ("coco.json", 2)])
def test_the_list_of_images_beside_the_source_is_not_replaced(name, status, photos, tmp_path, detect_command: Command):
    write_format(tmp_path / "coco_results.json", "coco", predictions(photos), CLASSES, None)
    before = (tmp_path / "coco_images.json").read_bytes()
    command = ("results", "convert", tmp_path / "coco_results.json", tmp_path / name, "--to", "coco")
    found, _, err = detect_command(*command, "--classes", "dog,dining table,cat")
    assert (found, err.count("give DST another name")) == (status, status // 2)
    assert (tmp_path / "coco_images.json").read_bytes() == before


@pytest.mark.parametrize(
    ("image_ids", "category_ids", "words"),
    [
        ([], [], None),
        ([1, 2], [1, 2], None),
        ([1, 1], [1, 2], "each image, found 1 for a.jpg and b.jpg: number them anew"),
        ([1, 2], [3, 3], "each category, found 3 for cat and dog: number them anew"),
    ],
)
def test_a_list_with_one_id_for_two_is_refused(image_ids, category_ids, words, tmp_path):
    images = [
        {"id": i, "file_name": f"{name}.jpg", "width": 9, "height": 9} for i, name in zip(image_ids, "ab", strict=False)
    ]
    categories = [{"id": i, "name": name} for i, name in zip(category_ids, ("cat", "dog"), strict=False)]
    (tmp_path / "gt.json").write_text(json.dumps({"images": images, "categories": categories, "annotations": []}))
    if words is None:
        assert list(read_coco_listing(tmp_path / "gt.json", tmp_path / "dt.json").files) == image_ids
        return
    with pytest.raises(UserError) as raised:
        read_coco_listing(tmp_path / "gt.json", tmp_path / "dt.json")
    assert str(raised.value) == f"{tmp_path / 'gt.json'}: expected an id of its own for {words}"


def write_truth(file: Path, names: list[str]) -> None:
    """Write a COCO annotation file of these images, with ids from 1."""
    (image,) = predictions([Path("any.jpg")])
    write_coco_images(file, [replace(image, file=name) for name in names], CLASSES)


@pytest.mark.parametrize(
    ("listed", "ids"),
    [([], []), (["a.jpg"], [2, 2]), (["a.jpg", "b.jpg"], [2, 2]), (["b.jpg", "a.jpg"], [1, 1]), (None, [1, 1])],
)
def test_coco_results_are_read_by_the_list_beside_them(listed, ids, tmp_path, detect_command: Command):
    """None: without such a list, the ids are those of the annotation file."""
    source, truth, out = tmp_path / "coco_results.json", tmp_path / "gt.json", tmp_path / "dt.json"
    write_truth(truth, ["b.jpg", "a.jpg"])
    names = ["b.jpg", "a.jpg"] if listed is None else listed
    write_format(
        source, "coco", predictions([Path(name) for name in names])[: len(names)] if names else [], CLASSES, None
    )
    if listed is None:
        (tmp_path / "coco_images.json").unlink()
    status, said, err = detect_command("results", "convert", source, out, "--to", "coco", "--annotations", truth)
    line = f"{source}: its ids are those of {tmp_path / 'coco_images.json'} beside it; if they are those of {truth}"
    assert (status, err, line in said) == (0, "", bool(listed))
    assert [row["image_id"] for row in json.loads(out.read_text())] == ids
    found = read_results(source, annotations=truth).predictions
    assert {p.file for p in found if len(p)} == set(names[:1])


@pytest.mark.parametrize("annotations", ["coco_images.json", "photos/../coco_images.json", "gt.json"])
def test_the_list_beside_results_may_be_the_annotation_file_itself(annotations, photos, tmp_path):
    results = tmp_path / "coco_results.json"
    write_format(results, "coco", predictions(photos), CLASSES, None)
    listed = listing_file(results, tmp_path / annotations)
    assert listed == (tmp_path / "coco_images.json" if annotations == "gt.json" else tmp_path / annotations)


def test_an_unknown_id_names_the_list_that_lacks_it(tmp_path):
    write_format(tmp_path / "coco_results.json", "coco", predictions([Path("a.jpg")]), CLASSES, None)
    write_truth(tmp_path / "coco_images.json", [])
    with pytest.raises(UserError, match=r"expected the image_id of an image in .*coco_images\.json, found 1"):
        read_results(tmp_path / "coco_results.json")


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_coco_results_have_the_paths_of_the_photos_that_are_given(kept, photos, tmp_path):
    path = tmp_path / "coco_results.json"
    write_format(path, "coco", predictions(photos) if kept else [], CLASSES, None)
    found = read_results(path, listed_images(photos[:kept])).predictions
    assert [(p.file, len(p)) for p in found] == [
        (str(file), n) for file, n in zip(photos[:kept], (2, 0, 0), strict=False)
    ]
    for file in photos:
        cv2.imwrite(str(file), np.full((50, 100, 3), 90, np.uint8))
    if kept:
        with pytest.raises(
            UserError, match=r"a\.jpg: expected 200 x 100 pixels, as .*coco_images\.json has for a\.jpg"
        ):
            read_results(path, listed_images(photos[:kept]))
