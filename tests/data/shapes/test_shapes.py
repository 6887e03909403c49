from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.data.shapes import dataset as shapes
from detect.data.shapes.dataset import CLASSES, Scene, prepare, scene
from detect.errors import UserError
from detect.evaluation.coco import evaluate_coco_json
from tests.data.shapes import color_baseline as colour_baseline


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene(0, "train", index) for index in range(400)]


def test_a_scene_depends_on_its_key_alone(scenes: list[Scene]) -> None:
    again = scene(0, "train", 7)
    np.testing.assert_array_equal(again.rgb, scenes[7].rgb)
    np.testing.assert_array_equal(again.boxes, scenes[7].boxes)
    np.testing.assert_array_equal(again.labels, scenes[7].labels)


@pytest.mark.parametrize("key", [(1, "train", 7), (0, "val", 7), (0, "train", 8)])
def test_another_key_is_another_scene(scenes: list[Scene], key: tuple[int, str, int]) -> None:
    other = scene(*key).rgb
    assert other.shape != scenes[7].rgb.shape or (other != scenes[7].rgb).mean() > 0.9


def test_pictures_are_near_128_pixels_and_of_many_proportions(scenes: list[Scene]) -> None:
    sizes = np.array([one.rgb.shape[:2] for one in scenes])
    assert sizes.min() >= 110
    assert sizes.max() <= 148
    assert np.ptp(sizes[:, 0] / sizes[:, 1]) > 0.5
    assert {(one.rgb.dtype, one.rgb.shape[2]) for one in scenes} == {(np.dtype(np.uint8), 3)}


def test_a_tenth_is_empty_and_the_rest_holds_one_to_four(scenes: list[Scene]) -> None:
    counts = np.bincount([len(one.labels) for one in scenes])
    assert len(counts) == 5
    assert 0.06 < counts[0] / len(scenes) < 0.14
    assert (counts[1:] > 0.15 * len(scenes)).all()


def test_every_class_is_as_common_as_another(scenes: list[Scene]) -> None:
    counts = np.bincount(np.concatenate([one.labels for one in scenes]), minlength=len(CLASSES) + 1)
    assert len(counts) == len(CLASSES) + 1
    assert counts[0] == 0
    assert counts[1:].min() > 0.6 * counts[1:].mean()


def test_sides_span_a_tenth_to_six_tenths_of_the_picture(scenes: list[Scene]) -> None:
    sides = np.concatenate([(one.boxes[:, 2:] - one.boxes[:, :2]) / one.rgb.shape[1::-1] for one in scenes])
    assert sides.min() >= 0.10
    assert sides.max() <= 0.60
    assert np.quantile(sides, [0.05, 0.95]) == pytest.approx([0.13, 0.50], abs=0.05)  # and all between


def test_a_fifth_is_overlapped_or_truncated_and_all_are_recognisable(scenes: list[Scene]) -> None:
    visible = np.concatenate([one.visible for one in scenes])
    assert 0.15 < (visible < 0.99).mean() < 0.27
    assert visible.min() >= 0.60
    assert visible.max() == 1
    touching = [
        bool((box[:2] == 0).any() or (box[2:] == one.rgb.shape[1::-1]).any())
        for one in scenes
        for box, seen in zip(one.boxes, one.visible, strict=True)
        if seen < 0.99
    ]
    assert 0.2 < np.mean(touching) < 0.8  # neither kind is missing


def test_boxes_are_tight_around_the_masks(scenes: list[Scene]) -> None:
    for one in scenes[:100]:
        assert one.masks.shape == (len(one.boxes), *one.rgb.shape[:2])
        for mask, (x1, y1, x2, y2) in zip(one.masks, one.boxes.astype(int), strict=True):
            assert mask.sum() == mask[y1:y2, x1:x2].sum() > 0
            assert mask[[y1, y2 - 1], x1:x2].any(axis=1).all()
            assert mask[y1:y2, [x1, x2 - 1]].any(axis=0).all()


def test_masks_are_where_the_objects_were_drawn(scenes: list[Scene]) -> None:
    """An object differs from what is just outside it, all along its edge: a shifted mask would not separate them."""
    ratios = []
    for one in scenes[:100]:
        for mask, seen in zip(one.masks, one.visible, strict=True):
            if seen == 1 and mask.sum() > 300:
                edges = np.abs(np.diff(one.rgb.astype(float), axis=1)).sum(axis=2)
                at = mask[:, 1:] != mask[:, :-1]
                ratios.append(edges[at].mean() / edges[~at].mean())
    assert np.median(ratios) > 3


def test_no_class_is_told_by_its_mean_colour(scenes: list[Scene]) -> None:
    """The spread of the class means is what chance gives: one-way analysis of variance, F below 3 in each channel."""
    colours: list[list[np.ndarray]] = [[] for _ in CLASSES]
    for one in scenes:
        for label, mask, seen in zip(one.labels, one.masks, one.visible, strict=True):
            if seen == 1:
                colours[label - 1].append(one.rgb[mask].mean(axis=0))
    tables = [np.array(table) for table in colours]
    counts = np.array([len(table) for table in tables])
    means = np.array([table.mean(axis=0) for table in tables])
    whole = np.concatenate(tables)
    between = (counts[:, None] * (means - whole.mean(axis=0)) ** 2).sum(axis=0) / (len(tables) - 1)
    within = sum(((table - mean) ** 2).sum(axis=0) for table, mean in zip(tables, means, strict=True))
    assert (between / (within / (len(whole) - len(tables))) < 3).all()
    spreads = np.array([table.std(axis=0).mean() for table in tables])
    assert spreads.max() / spreads.min() < 1.25


def test_colours_and_components_do_not_solve_it(scenes: list[Scene]) -> None:
    baseline = colour_baseline.fit(scenes[:40])
    truth = [scene(0, "val", index) for index in range(100)]
    numbers = evaluate_coco_json(
        {
            "images": [{"id": index} for index in range(len(truth))],
            "categories": [{"id": label, "name": name} for label, name in enumerate(CLASSES, start=1)],
            "annotations": [
                {"image_id": index, "category_id": int(label), "bbox": [x1, y1, x2 - x1, y2 - y1]}
                for index, one in enumerate(truth)
                for label, (x1, y1, x2, y2) in zip(one.labels, one.boxes.tolist(), strict=True)
            ],
        },
        [row for index, one in enumerate(truth) for row in colour_baseline.find(baseline, one.rgb, index)],
    ).numbers
    assert numbers["AP50"] is not None
    assert numbers["AR100"] is not None
    assert numbers["AP50"] < 0.30
    assert numbers["AR100"] > 0.40  # an honest try: it does find the objects, it cannot name them


def test_the_set_on_disk_is_what_was_drawn(tmp_path: Path) -> None:
    folder = prepare(tmp_path, seed=3, train=12, val=5)
    for split, count in (("train", 12), ("val", 5)):
        drawn = [scene(3, split, index) for index in range(count)]
        data = json.loads((folder / f"{split}.json").read_text())
        assert [row["name"] for row in data["categories"]] == list(CLASSES)
        assert len(data["images"]) == count
        assert [row["id"] for row in data["annotations"]] == list(range(1, sum(len(one.labels) for one in drawn) + 1))
        for row, one in zip(data["images"], drawn, strict=True):
            bgr = cv2.imread(str(folder / split / row["file_name"]))
            assert bgr is not None
            assert bgr.shape[:2] == (row["height"], row["width"])
            assert np.abs(bgr[..., ::-1].astype(int) - one.rgb).mean() < 6
            mine = [other for other in data["annotations"] if other["image_id"] == row["id"]]
            boxes = np.array([other["bbox"] for other in mine]).reshape(-1, 4)
            np.testing.assert_array_equal(np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]), one.boxes)
            assert [other["category_id"] for other in mine] == one.labels.tolist()
            assert [other["area"] for other in mine] == one.masks.sum(axis=(1, 2)).tolist()


def test_pycocotools_reads_it_and_scores_it_perfect(tmp_path: Path) -> None:
    data = json.loads((prepare(tmp_path, seed=0, train=1, val=30) / "val.json").read_text())
    results = [{**row, "score": 1.0} for row in data["annotations"]]
    assert evaluate_coco_json(data, results).numbers["AP"] == pytest.approx(1)


def test_it_is_drawn_once(tmp_path: Path) -> None:
    folder = prepare(tmp_path, seed=0, train=2, val=1)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert prepare(tmp_path, seed=0, train=2, val=1) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert len(before) == 2 + 3 + 3


@pytest.mark.parametrize("other", [{"seed": 1}, {"train": 3}, {"val": 2}])
def test_other_settings_and_versions_are_other_folders(tmp_path: Path, other: dict[str, int]) -> None:
    settings = {"seed": 0, "train": 2, "val": 1}
    assert prepare(tmp_path, **settings) != prepare(tmp_path, **{**settings, **other})


def test_another_version_is_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = prepare(tmp_path, seed=0, train=1, val=1)
    monkeypatch.setattr(shapes, "DATA_VERSION", shapes.DATA_VERSION + 1)
    assert prepare(tmp_path, seed=0, train=1, val=1) != old


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(seed: int, split: str, index: int) -> Scene:
        if (split, index) == ("val", 0):
            raise KeyboardInterrupt
        return scene(seed, split, index)

    monkeypatch.setattr(shapes, "scene", broken)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, seed=0, train=2, val=1)
    assert list(tmp_path.iterdir()) == []


def test_two_may_make_it_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as makers:
        folders = list(makers.map(lambda _: prepare(tmp_path, seed=0, train=12, val=4), range(2)))
    assert [*tmp_path.iterdir()] == [folders[0]] == [folders[1]]


def test_the_loser_of_a_race_takes_the_winners_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = shapes._write

    def slow(folder: Path, settings: dict[str, int]) -> None:
        write(folder, settings)
        monkeypatch.setattr(shapes, "_write", write)
        prepare(tmp_path, seed=0, train=1, val=1)

    monkeypatch.setattr(shapes, "_write", slow)
    folder = prepare(tmp_path, seed=0, train=1, val=1)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("damage", ["picture", "settings", "annotations", "folder"])
def test_a_damaged_folder_is_named_not_used(tmp_path: Path, damage: str) -> None:
    folder = prepare(tmp_path, seed=0, train=2, val=1)
    harm: dict[str, Callable[[], object]] = {
        "picture": (folder / "train" / "00001.jpg").unlink,
        "settings": lambda: (folder / "settings.json").write_text("{}"),
        "annotations": (folder / "val.json").unlink,
        "folder": lambda: shutil.rmtree(folder / "train"),
    }
    harm[damage]()
    with pytest.raises(UserError, match=folder.name):
        prepare(tmp_path, seed=0, train=2, val=1)
