"""Folds for the review of labels: each image in one, each detector trained on the others, trained once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from detect.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from detect.config import Config
from detect.config.builders.data import read_splits
from detect.config.builders.detector import build_detector, build_preprocess
from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.masks import Mask, PackedMasks, PolygonMask, encode
from detect.data.shapes import dataset as shapes
from detect.data.sources import concat, select
from detect.errors import UserError
from detect.training import folds as folds_module
from detect.training.folds import assign_folds, make_folds, review_folds, train_folds
from tests.data.folders import write_image
from tests.training.fixtures_training import settings_of


def _images(folder: Path, seeds: Sequence[int]) -> Annotations:
    """Images of 60 x 40 with an object each; those of one seed show the same."""
    image = ImageAnnotation(
        file="",
        image_id=1,
        size=(40, 60),
        boxes=np.asarray([[0.1, 2.0, 30.7, 20.3]]),
        labels=np.asarray([1]),
        difficult=np.zeros(1, bool),
        crowd=np.zeros(1, bool),
        areas=np.asarray([500.0]),
    )
    files = [write_image(folder / f"{index}.png", seed=seed) for index, seed in enumerate(seeds)]
    images = [replace(image, file=str(file), image_id=i) for i, file in enumerate(files, start=1)]
    return Annotations.from_images(images, ["cat"])


@pytest.fixture(scope="module")
def data(shapes_root: Path) -> Annotations:
    config = settings_of(shapes_root)
    shapes.prepare_shapes(shapes_root, config.data.seed, config.data.train_images, config.data.val_images)
    splits = read_splits(config)
    return concat([splits.train, splits.val])


@pytest.mark.parametrize(("count", "sizes"), [(2, [4, 4]), (3, [2, 3, 3]), (8, [1] * 8)])
def test_each_image_is_in_one_fold(count: int, sizes: list[int], tmp_path: Path) -> None:
    folds = assign_folds(_images(tmp_path, range(8)), count)
    assert sorted(map(len, folds)) == sizes
    assert sorted(index for fold in folds for index in fold) == list(range(8))


def test_near_duplicates_are_in_one_fold(tmp_path: Path) -> None:
    for seed in range(3):
        folds = assign_folds(_images(tmp_path / str(seed), [seed, seed + 10, seed + 20, seed, seed + 30, seed]), 3)
        assert sum({0, 3, 5} <= set(fold) for fold in folds) == 1


@pytest.mark.parametrize("seeds", [[], [1], [1, 1, 1, 2, 3]])
def test_fewer_images_than_folds_are_refused(seeds: list[int], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--folds 4: expected at least 4 images that differ, found [013]$"):
        assign_folds(_images(tmp_path, seeds), 4)


def test_a_detector_is_trained_on_the_other_folds_to_the_last_bit(
    data: Annotations, shapes_root: Path, tmp_path: Path
) -> None:
    folds = make_folds(settings_of(shapes_root), data, 3, tmp_path)
    for members, config in zip(folds.members, folds.configs, strict=True):
        train = read_splits(config).train
        others = [index for fold in folds.members if fold != members for index in fold]
        expected = select(data, others)
        assert [train.file(i) for i in range(len(train))] == [expected.file(i) for i in range(len(expected))]
        for name in ("boxes", "labels", "difficult", "crowd", "areas", "offsets", "sizes"):
            assert np.array_equal(getattr(train, name), getattr(expected, name)), name
        assert train.classes == data.classes
    num_images = len(data)
    assert f"of {num_images} images: 6 steps in all, into {tmp_path};" in folds.describe()


def test_steps_of_epochs_are_those_of_the_images_of_each_fold(
    data: Annotations, shapes_root: Path, tmp_path: Path
) -> None:
    config = settings_of(shapes_root, train={"steps": None, "epochs": 2})
    folds = make_folds(config, data, 2, tmp_path)
    steps = sum(2 * -(-(len(data) - len(members)) // 2) for members in folds.members)
    assert f"images: {steps} steps in all" in folds.describe()


def test_a_recipe_in_stages_is_refused(data: Annotations, shapes_root: Path, tmp_path: Path) -> None:
    config = settings_of(shapes_root)
    staged = config.model_copy(update={"train": config.train.model_copy(update={"recipe": "alternating"})})
    with pytest.raises(UserError, match=r"--folds: expected a model of train\.recipe=joint, found alternating"):
        make_folds(staged, data, 2, tmp_path)


def test_masks_are_those_of_the_data_for_a_model_that_predicts_them(
    data: Annotations, shapes_root: Path, tmp_path: Path
) -> None:
    config = settings_of(shapes_root, model={"kind": "mask_rcnn"})
    sizes = [data[index].size for index in range(len(data)) for _ in data[index].boxes]
    polygon = PolygonMask(((0.1, 0.0, 30.7, 0.0, 30.7, 20.3),))
    masks: list[Mask] = [
        polygon if index % 2 else encode(np.eye(*size, dtype=bool)) for index, size in enumerate(sizes)
    ]
    packed = PackedMasks.pack(masks)
    folds = make_folds(config, replace(data, masks=packed), 2, tmp_path)
    train = read_splits(folds.configs[0]).train
    expected = select(replace(data, masks=packed), folds.members[1])
    assert train.masks is not None
    assert expected.masks is not None
    assert [train.masks[i] for i in range(len(train.masks))] == [expected.masks[i] for i in range(len(expected.masks))]
    boxes_only = make_folds(settings_of(shapes_root), replace(data, masks=packed), 2, tmp_path / "boxes")
    assert boxes_only.annotations.masks is None


def test_objects_without_masks_are_refused_before_any_file(
    data: Annotations, shapes_root: Path, tmp_path: Path
) -> None:
    config = settings_of(shapes_root, model={"kind": "mask_rcnn"})
    count = len(data.boxes)
    with pytest.raises(UserError, match=rf"expected a mask of each object, found none for {count} of {count} objects"):
        make_folds(config, replace(data, masks=None), 2, tmp_path)
    assert list(tmp_path.iterdir()) == []


def save_run(folder: Path, config: Config) -> Path:
    """A run folder of a detector that was not trained."""
    folder.mkdir()
    detector, _ = build_detector(config, ("disk",))
    checkpoint = Checkpoint(config, ("disk",), build_preprocess(config), detector.state_dict(), step=1, metrics={})
    save_checkpoint(checkpoint, folder / "best.pt")
    return folder


def begun_from(config: Config, init: Path) -> Config:
    return config.model_copy(update={"model": config.model.model_copy(update={"init": str(init)})})


@pytest.mark.parametrize("generations", [1, 2])
def test_a_detector_that_began_from_one_of_these_labels_is_refused(
    generations: int, data: Annotations, shapes_root: Path, tmp_path: Path
) -> None:
    config = settings_of(shapes_root)
    learned = save_run(tmp_path / "learned", config)
    if generations == 2:
        elsewhere = settings_of(shapes_root, data={"format": "coco", "root": str(tmp_path / "gone")})
        learned = save_run(tmp_path / "again", begun_from(elsewhere, learned))
    (tmp_path / "link").symlink_to(shapes_root)
    splits = read_splits(settings_of(tmp_path / "link"))
    for images in (data, concat([splits.train, splits.val])):  # by two paths
        with pytest.raises(UserError, match=r"--folds: expected .*, found .*/learned, trained on 6 of 10 of them"):
            make_folds(begun_from(config, learned), images, 2, tmp_path / "folds")
    assert not (tmp_path / "folds").exists()


def test_the_initial_weights_are_named(data: Annotations, shapes_root: Path, tmp_path: Path) -> None:
    config = settings_of(shapes_root)
    other = settings_of(shapes_root, data={"seed": 77})
    shapes.prepare_shapes(shapes_root, 77, other.data.train_images, other.data.val_images)
    away = settings_of(shapes_root, data={"format": "coco", "root": str(tmp_path / "gone"), "min_size": 64})
    weights = settings_of(shapes_root, model={"backbone": config.model.backbone.model_dump() | {"weights": "w.pth"}})
    expected = {
        "each begins from random weights": config,
        "each begins from weights of its backbone alone, w.pth": weights,
        f"each begins from {tmp_path / 'a'}, which was not trained on these images": begun_from(
            config, save_run(tmp_path / "a", other)
        ),
        f"each begins from {tmp_path / 'b'}, whose training images are not on this machine": begun_from(
            config, save_run(tmp_path / "b", away)
        ),
        "each begins from detect/voc_faster_rcnn, a published detector": begun_from(
            config, Path("detect/voc_faster_rcnn")
        ),
    }
    for line, settings in expected.items():
        assert line in make_folds(settings, data, 2, tmp_path / "folds").describe()


@pytest.mark.slow
def test_folds_are_trained_once(
    data: Annotations, shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds = make_folds(settings_of(shapes_root), data, 2, tmp_path)
    runs = train_folds(folds)
    assert runs == [tmp_path / "fold-1", tmp_path / "fold-2"]
    weights = [load_checkpoint(run / "last.pt").weights for run in runs]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    times = [(run / "last.pt").stat().st_mtime_ns for run in runs]
    monkeypatch.setattr(folds_module, "train", None)
    again = make_folds(settings_of(shapes_root), data, 2, tmp_path)
    assert train_folds(again) == runs
    assert [(run / "last.pt").stat().st_mtime_ns for run in runs] == times
    review = review_folds(again, runs)
    assert review.annotations is again.annotations
    assert review.notes() == []
    assert {suspect.image for suspect in review.suspects} <= set(range(len(data)))
    (runs[0] / "last.pt").unlink()  # as after an interruption before the first checkpoint
    monkeypatch.undo()
    assert train_folds(again) == runs
    retrained = load_checkpoint(runs[0] / "last.pt").weights
    assert all(torch.equal(weights[0][name], retrained[name]) for name in retrained)
    other = make_folds(settings_of(shapes_root, train={"lr": 0.02}), data, 2, tmp_path)
    with pytest.raises(UserError, match=r"fold-1: expected a run with the settings of --model, found others"):
        train_folds(other)
