from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.data.formats.coco import read_coco
from detect.data.shapes import dataset as shapes
from detect.data.shapes.dataset import CLASSES, Scene, draw_scene, prepare_shapes
from detect.data.sources import without_difficult
from detect.errors import UserError
from detect.evaluation.coco import evaluate_coco_json
from tests.data.shapes import color_baseline


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(0, "train", index) for index in range(400)]


def test_draw_scene_depends_on_its_key_only(scenes: list[Scene]) -> None:
    again = draw_scene(0, "train", 7)
    np.testing.assert_array_equal(again.rgb, scenes[7].rgb)
    np.testing.assert_array_equal(again.boxes, scenes[7].boxes)
    np.testing.assert_array_equal(again.labels, scenes[7].labels)


@pytest.mark.parametrize("key", [(1, "train", 7), (0, "val", 7), (0, "train", 8)])
def test_draw_scene_with_another_key_differs(scenes: list[Scene], key: tuple[int, str, int]) -> None:
    other = draw_scene(*key).rgb
    assert other.shape != scenes[7].rgb.shape or (other != scenes[7].rgb).mean() > 0.9


def test_draw_scene_sizes_are_near_128_pixels(scenes: list[Scene]) -> None:
    sizes = np.array([scene.rgb.shape[:2] for scene in scenes])
    assert sizes.min() >= 110
    assert sizes.max() <= 148
    assert np.ptp(sizes[:, 0] / sizes[:, 1]) > 0.5
    assert {(scene.rgb.dtype, scene.rgb.shape[2]) for scene in scenes} == {(np.dtype(np.uint8), 3)}


def test_draw_scene_has_0_to_4_objects(scenes: list[Scene]) -> None:
    counts = np.bincount([len(scene.labels) for scene in scenes])
    assert len(counts) == 5
    assert 0.06 < counts[0] / len(scenes) < 0.14
    assert (counts[1:] > 0.15 * len(scenes)).all()


def test_draw_scene_classes_are_equally_frequent(scenes: list[Scene]) -> None:
    counts = np.bincount(np.concatenate([scene.labels for scene in scenes]), minlength=len(CLASSES) + 1)
    assert len(counts) == len(CLASSES) + 1
    assert counts[0] == 0
    assert counts[1:].min() > 0.6 * counts[1:].mean()


def test_draw_scene_box_sides_span_a_tenth_to_six_tenths(scenes: list[Scene]) -> None:
    sides = np.concatenate([(scene.boxes[:, 2:] - scene.boxes[:, :2]) / scene.rgb.shape[1::-1] for scene in scenes])
    assert sides.min() >= 0.10
    assert sides.max() <= 0.60
    assert np.quantile(sides, [0.05, 0.95]) == pytest.approx([0.13, 0.50], abs=0.05)  # and all sizes between


def test_draw_scene_overlaps_or_truncates_a_fifth_of_the_objects(scenes: list[Scene]) -> None:
    visible = np.concatenate([scene.visibility for scene in scenes])
    assert 0.15 < (visible < 0.99).mean() < 0.27
    assert visible.min() >= 0.60
    assert visible.max() == 1
    touching = [
        bool((box[:2] == 0).any() or (box[2:] == scene.rgb.shape[1::-1]).any())
        for scene in scenes
        for box, visibility in zip(scene.boxes, scene.visibility, strict=True)
        if visibility < 0.99
    ]
    assert 0.2 < np.mean(touching) < 0.8  # both kinds occur


def test_draw_scene_boxes_are_tight_around_masks(scenes: list[Scene]) -> None:
    for scene in scenes[:100]:
        assert scene.masks.shape == (len(scene.boxes), *scene.rgb.shape[:2])
        for mask, (x1, y1, x2, y2) in zip(scene.masks, scene.boxes.astype(int), strict=True):
            assert mask.sum() == mask[y1:y2, x1:x2].sum() > 0
            assert mask[[y1, y2 - 1], x1:x2].any(axis=1).all()
            assert mask[y1:y2, [x1, x2 - 1]].any(axis=0).all()


def test_draw_scene_masks_match_the_pixels(scenes: list[Scene]) -> None:
    """An object differs from its surroundings all along its edge; a shifted mask would not separate them."""
    ratios = []
    for scene in scenes[:100]:
        for mask, visibility in zip(scene.masks, scene.visibility, strict=True):
            if visibility == 1 and mask.sum() > 300:
                edges = np.abs(np.diff(scene.rgb.astype(float), axis=1)).sum(axis=2)
                edge_mask = mask[:, 1:] != mask[:, :-1]
                ratios.append(edges[edge_mask].mean() / edges[~edge_mask].mean())
    assert np.median(ratios) > 3


def test_draw_scene_mean_colors_do_not_separate_classes(scenes: list[Scene]) -> None:
    """The class means vary as much as chance gives: one-way analysis of variance, F below 3 in each channel."""
    colors: list[list[np.ndarray]] = [[] for _ in CLASSES]
    for scene in scenes:
        for label, mask, visibility in zip(scene.labels, scene.masks, scene.visibility, strict=True):
            if visibility == 1:
                colors[label - 1].append(scene.rgb[mask].mean(axis=0))
    tables = [np.array(table) for table in colors]
    counts = np.array([len(table) for table in tables])
    means = np.array([table.mean(axis=0) for table in tables])
    all_colors = np.concatenate(tables)
    between = (counts[:, None] * (means - all_colors.mean(axis=0)) ** 2).sum(axis=0) / (len(tables) - 1)
    within = sum(((table - mean) ** 2).sum(axis=0) for table, mean in zip(tables, means, strict=True))
    assert (between / (within / (len(all_colors) - len(tables))) < 3).all()
    spreads = np.array([table.std(axis=0).mean() for table in tables])
    assert spreads.max() / spreads.min() < 1.25


@pytest.mark.slow
def test_color_baseline_finds_but_does_not_classify(scenes: list[Scene]) -> None:
    baseline = color_baseline.fit(scenes[:40])
    val_scenes = [draw_scene(0, "val", index) for index in range(100)]
    metrics = evaluate_coco_json(
        {
            "images": [{"id": index} for index in range(len(val_scenes))],
            "categories": [{"id": label, "name": name} for label, name in enumerate(CLASSES, start=1)],
            "annotations": [
                {"image_id": index, "category_id": int(label), "bbox": [x1, y1, x2 - x1, y2 - y1]}
                for index, scene in enumerate(val_scenes)
                for label, (x1, y1, x2, y2) in zip(scene.labels, scene.boxes.tolist(), strict=True)
            ],
        },
        [row for index, scene in enumerate(val_scenes) for row in color_baseline.detect(baseline, scene.rgb, index)],
    ).metrics
    assert metrics["AP50"] is not None
    assert metrics["AR100"] is not None
    assert metrics["AP50"] < 0.30
    assert metrics["AR100"] > 0.40  # the baseline finds the objects but cannot classify them


def test_prepare_shapes_writes_the_drawn_scenes(tmp_path: Path) -> None:
    folder = prepare_shapes(tmp_path, seed=3, train=12, val=5)
    for split, count in (("train", 12), ("val", 5)):
        scenes = [draw_scene(3, split, index) for index in range(count)]
        data = json.loads((folder / f"{split}.json").read_text())
        assert [row["name"] for row in data["categories"]] == list(CLASSES)
        assert len(data["images"]) == count
        assert [row["id"] for row in data["annotations"]] == list(
            range(1, sum(len(scene.labels) for scene in scenes) + 1)
        )
        for row, scene in zip(data["images"], scenes, strict=True):
            bgr = cv2.imread(str(folder / split / row["file_name"]))
            assert bgr is not None
            assert bgr.shape[:2] == (row["height"], row["width"])
            assert np.abs(bgr[..., ::-1].astype(int) - scene.rgb).mean() < 6
            image_annotations = [other for other in data["annotations"] if other["image_id"] == row["id"]]
            boxes = np.array([other["bbox"] for other in image_annotations]).reshape(-1, 4)
            np.testing.assert_array_equal(np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]), scene.boxes)
            assert [other["category_id"] for other in image_annotations] == scene.labels.tolist()
            assert [other["area"] for other in image_annotations] == scene.masks.sum(axis=(1, 2)).tolist()


def test_prepare_shapes_annotations_score_perfectly_as_results(tmp_path: Path) -> None:
    data = json.loads((prepare_shapes(tmp_path, seed=0, train=1, val=30) / "val.json").read_text())
    results = [{**row, "score": 1.0} for row in data["annotations"]]
    assert evaluate_coco_json(data, results).metrics["AP"] == pytest.approx(1)


def test_prepare_shapes_draws_once(tmp_path: Path) -> None:
    folder = prepare_shapes(tmp_path, seed=0, train=2, val=1)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert prepare_shapes(tmp_path, seed=0, train=2, val=1) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert len(before) == 2 + 3 + 3


@pytest.mark.parametrize("other", [{"seed": 1}, {"train": 3}, {"val": 2}])
def test_prepare_shapes_with_other_settings_uses_another_folder(tmp_path: Path, other: dict[str, int]) -> None:
    settings = {"seed": 0, "train": 2, "val": 1}
    assert prepare_shapes(tmp_path, **settings) != prepare_shapes(tmp_path, **{**settings, **other})


def test_prepare_shapes_of_another_version_uses_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = prepare_shapes(tmp_path, seed=0, train=1, val=1)
    monkeypatch.setattr(shapes, "DATA_VERSION", shapes.DATA_VERSION + 1)
    assert prepare_shapes(tmp_path, seed=0, train=1, val=1) != old


def test_prepare_shapes_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted_draw(seed: int, split: str, index: int, occlusion: float | None) -> Scene:
        if (split, index) == ("val", 0):
            raise KeyboardInterrupt
        return draw_scene(seed, split, index, occlusion)

    monkeypatch.setattr(shapes, "draw_scene", interrupted_draw)
    with pytest.raises(KeyboardInterrupt):
        prepare_shapes(tmp_path, seed=0, train=2, val=1)
    assert list(tmp_path.iterdir()) == []


def test_prepare_shapes_in_two_threads_gives_one_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as executor:
        folders = list(executor.map(lambda _: prepare_shapes(tmp_path, seed=0, train=12, val=4), range(2)))
    assert [*tmp_path.iterdir()] == [folders[0]] == [folders[1]]


def test_prepare_shapes_after_a_lost_race_uses_the_other_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = shapes._write_dataset

    def slow_write(folder: Path, settings: dict[str, int]) -> None:
        write(folder, settings)
        monkeypatch.setattr(shapes, "_write_dataset", write)
        prepare_shapes(tmp_path, seed=0, train=1, val=1)

    monkeypatch.setattr(shapes, "_write_dataset", slow_write)
    folder = prepare_shapes(tmp_path, seed=0, train=1, val=1)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("damage", ["image", "settings", "annotations", "folder"])
def test_prepare_shapes_of_damaged_folder_fails(tmp_path: Path, damage: str) -> None:
    folder = prepare_shapes(tmp_path, seed=0, train=2, val=1)
    damages: dict[str, Callable[[], object]] = {
        "image": (folder / "train" / "00001.jpg").unlink,
        "settings": lambda: (folder / "settings.json").write_text("{}"),
        "annotations": (folder / "val.json").unlink,
        "folder": lambda: shutil.rmtree(folder / "train"),
    }
    damages[damage]()
    with pytest.raises(UserError, match=folder.name):
        prepare_shapes(tmp_path, seed=0, train=2, val=1)


@pytest.fixture(scope="module")
def occluded_scenes() -> list[Scene]:
    return [draw_scene(0, "train", index, 0.9) for index in range(150)]


def test_draw_scene_with_occlusion_hides_more(scenes: list[Scene], occluded_scenes: list[Scene]) -> None:
    usual, more = (np.concatenate([scene.occluded for scene in drawn]).mean() for drawn in (scenes, occluded_scenes))
    assert usual < 0.15
    assert more > 0.4
    visible = np.concatenate([scene.visibility for scene in occluded_scenes])
    assert 0.35 <= visible.min() < 0.45


def test_draw_scene_marks_what_is_covered_and_what_is_outside(
    scenes: list[Scene], occluded_scenes: list[Scene]
) -> None:
    """Occluded: a tenth of the mask or more is under the masks of later objects; truncated: of the area is missing."""
    for scene in [*scenes[:150], *occluded_scenes]:
        assert scene.occluded.shape == scene.truncated.shape == scene.labels.shape
        for i, mask in enumerate(scene.masks):
            later = scene.masks[i + 1 :].any(axis=0)
            assert scene.occluded[i] == ((mask & later).sum() >= 0.1 * mask.sum())
            seen = (mask & ~later).sum()
            assert scene.truncated[i] == (mask.sum() <= 0.9 * round(seen / scene.visibility[i]))


def test_prepare_shapes_with_occlusion_is_a_data_set_of_its_own_with_marks(tmp_path: Path) -> None:
    plain, occluded = prepare_shapes(tmp_path, 0, 8, 2), prepare_shapes(tmp_path, 0, 8, 2, 0.9)
    assert occluded.name == f"{plain.name}-occlusion0.9"
    assert prepare_shapes(tmp_path, 0, 8, 2, 0.9) == occluded
    before, after = (json.loads((folder / "train.json").read_text())["annotations"] for folder in (plain, occluded))
    assert all("occluded" not in annotation for annotation in before)
    assert {annotation["occluded"] for annotation in after} == {0, 1}
    assert all(annotation["truncated"] in (0, 1) for annotation in after)
    assert "occlusion" not in json.loads((plain / "settings.json").read_text())


def test_marks_of_shapes_reach_the_annotations(tmp_path: Path) -> None:
    folder = prepare_shapes(tmp_path, 0, 12, 2, 0.9)
    annotations = read_coco(folder / "train.json", [folder / "train"], CLASSES)
    written = json.loads((folder / "train.json").read_text())["annotations"]
    assert annotations.occluded is not None
    assert annotations.occluded.tolist() == [bool(annotation["occluded"]) for annotation in written]
    without = without_difficult(replace(annotations, difficult=~annotations.occluded))
    assert without.occluded is not None
    assert without.occluded.all()
    assert len(without.occluded) == annotations.occluded.sum() == len(without.boxes)
    assert [image.occluded.tolist() for image in (annotations[i] for i in range(12)) if image.occluded is not None] == [
        annotations.occluded[annotations.offsets[i] : annotations.offsets[i + 1]].tolist() for i in range(12)
    ]
