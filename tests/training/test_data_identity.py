"""Tests that a run is resumed on the data that it began with, or not at all."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config.files import load_config, merge_overrides, parse_config
from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.masks import PackedMasks, PolygonMask
from detect.errors import UserError
from detect.proposals.files import content_hash, pack_proposals, write_proposals
from detect.proposals.selective_search.settings import SearchSettings
from detect.training.data_identity import data_identity, require_same_data
from detect.training.run import resume, train
from detect.training.run_folder import RunFolder
from detect.types import Proposals
from tests.conftest import TINY


def write_boxes(root: Path, seed: int, images: str = "images/*/*.png") -> None:
    """Write proposals.npz: as many proposals of each of the images as the seed of the search that the file names."""
    proposals = Proposals(torch.tensor([[8.0, 8.0, 60.0, 50.0]] * seed), torch.ones(seed))
    files = sorted(root.glob(images))
    entries = [(file.relative_to(root).as_posix(), content_hash(file.read_bytes()), proposals) for file in files]
    settings = SearchSettings(seed=seed).to_dict()
    write_proposals(root / "proposals.npz", pack_proposals(entries, settings))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A YOLO folder of six images with proposals, and a run of Fast R-CNN on it."""
    root, run = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("runs") / "run"
    (root / "data.yaml").write_text("names: [disc]\ntrain: images/train\nval: images/val\n", encoding="utf-8")
    for split, count in (("train", 4), ("val", 2)):
        for part in ("images", "labels"):
            (root / part / split).mkdir(parents=True)
        for i in range(count):
            noise = np.random.default_rng(i).integers(0, 255, (60, 80, 3), np.uint8)
            Image.fromarray(noise).save(root / "images" / split / f"{i}.png")
            (root / "labels" / split / f"{i}.txt").write_text("0 0.5 0.5 0.5 0.5\n", encoding="utf-8")
    write_boxes(root, seed=1)
    overrides = ["data.format=yolo", f"data.root={root}", "train.steps=1", "train.validate_every=null"]
    overrides += ["model.kind=fast_rcnn", f"model.proposals={root / 'proposals.npz'}"]
    train(parse_config(merge_overrides(dict(TINY), overrides), "test"), run, Console(quiet=True))
    return root, run


@pytest.fixture
def copied(finished: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The data set and its run, elsewhere."""
    root, run = shutil.copytree(finished[0], tmp_path / "data"), shutil.copytree(finished[1], tmp_path / "run")
    settings = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(settings.replace(str(finished[0]), str(root)), encoding="utf-8")
    return root, run


def test_a_moved_data_set_is_the_same(copied: tuple[Path, Path]) -> None:
    assert sorted(RunFolder(copied[1]).data) == ["proposal_boxes", "train", "val"]
    resume(copied[1], Console(quiet=True))


def test_a_run_that_recorded_no_data_is_resumed(copied: tuple[Path, Path]) -> None:
    (copied[1] / "environment.json").unlink()
    (copied[0] / "images/train/3.png").unlink()
    write_boxes(copied[0], seed=2)
    resume(copied[1], Console(quiet=True))
    assert load_checkpoint(copied[1] / "last.pt").step == load_config(copied[1] / "config.yaml").train.steps


def test_a_file_of_proposals_may_grow(copied: tuple[Path, Path]) -> None:
    root, run = copied
    before = (root / "proposals.npz").read_bytes()
    Image.new("RGB", (80, 60)).save(root / "images" / "more.png")
    write_boxes(root, seed=1, images="images/**/*.png")
    assert (root / "proposals.npz").read_bytes() != before
    resume(run, Console(quiet=True))


@pytest.mark.parametrize(("more", "refused"), [(0, True), (1, False)])
def test_proposals_are_compared_where_as_many_images_can_be_read(
    more: int, refused: bool, copied: tuple[Path, Path]
) -> None:
    """A photo that could not be read, or can no longer be read, changes the hash and does not end the run."""
    record = json.loads((copied[1] / "environment.json").read_text(encoding="utf-8"))
    boxes = record["data"]["proposal_boxes"]
    record["data"]["proposal_boxes"] = {"images": boxes["images"] + more, "hash": "0" * 16}
    (copied[1] / "environment.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(UserError, match="found others of these images") if refused else nullcontext():
        resume(copied[1], Console(quiet=True))


def test_proposals_that_lack_an_image_are_refused_before_the_run_folder(copied: tuple[Path, Path]) -> None:
    root, run = copied
    write_boxes(root, seed=1, images="images/val/*.png")
    config = load_config(run / "config.yaml")
    with pytest.raises(UserError, match=r"found none for 2 of them, .*; detect proposals make adds them$"):
        train(config, root / "run", Console(quiet=True))
    assert not (root / "run").exists()


def test_proposals_of_another_search_are_told(finished: tuple[Path, Path]) -> None:
    lines = RunFolder(finished[1]).log_file.read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith("proposals: ")]
    assert "proposals.npz: made with seed=1, while images that are not in it are searched with seed=0" in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "images/train/3.png").unlink(), r"the 4 images of data\.train .* began with, found 3; "),
        (lambda root: (root / "images/val/1.png").unlink(), r"the 2 images of data\.val .* began with, found 1; "),
        (lambda root: (root / "images/train/3.png").rename(root / "images/train/9.png"), "found others, or other box"),
        (lambda root: (root / "labels/train/3.txt").write_text("0 0.5 0.5 0.4 0.5\n"), "found others, or other boxes"),
        (lambda root: write_boxes(root, seed=2), "the proposals that the run began with, found others of these images"),
        (
            lambda root: write_boxes(root, seed=1, images="images/val/*.png"),
            "expected proposals of 6 images, found none ",
        ),
        (
            lambda root: (root / "proposals.npz").unlink(),
            r"proposals\.npz: expected a file of proposals, found no",
        ),
        (lambda root: shutil.rmtree(root / "images/train"), r"; the run .* began with other data, or "),
        (
            shutil.rmtree,
            r"; the run .* began with other data, or with a version that allowed this, and keeps its settings$",
        ),
    ],
)
def test_a_run_is_not_resumed_on_other_data(
    change: Callable[[Path], object], message: str, copied: tuple[Path, Path]
) -> None:
    root, run = copied
    change(root)
    with pytest.raises(UserError, match=message):
        resume(run, Console(quiet=True))


def split_of(**changes: object) -> Annotations:
    """A split of one image with two objects, one of which has a mask."""
    image = ImageAnnotation(
        file="/data/0.png",
        image_id=1,
        size=(60, 80),
        boxes=np.array([[0.0, 0, 20, 20], [10, 10, 50, 50]]),
        labels=np.array([1, 1]),
        difficult=np.array([False, False]),
        crowd=np.array([False, False]),
        areas=np.array([400.0, 1600.0]),
        masks=PackedMasks.pack([PolygonMask(((0.0, 0, 20, 0, 20, 20),)), None]),
    )
    return Annotations.from_images([replace(image, **changes)], ["disc"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"image_id": 7},
        {"difficult": np.array([False, True])},
        {"crowd": np.array([False, True])},
        {"areas": np.array([400.0, 1200.0])},
        {"masks": None},
        {"masks": PackedMasks.pack([PolygonMask(((0.0, 0, 20, 0, 0, 20),)), None])},
        {"occluded": np.array([True, False])},
        {"truncated": np.array([True, False])},
    ],
    ids=["id", "difficult", "crowd", "area", "no masks", "mask", "occluded", "truncated"],
)
def test_ids_areas_masks_and_marks_are_data_too(changes: dict[str, object]) -> None:
    recorded = data_identity(split_of(), split_of())
    require_same_data(Path("run"), recorded, split_of(), split_of())
    with pytest.raises(UserError, match=r"run: expected the 1 images of data\.val .*, found the same with other ids, "):
        require_same_data(Path("run"), recorded, split_of(), split_of(**changes))
    for identity in recorded.values():
        del identity["marks"]  # as a version wrote it that did not record them
    require_same_data(Path("run"), recorded, split_of(), split_of(**changes))


@pytest.mark.parametrize(
    ("sliced", "split", "recorded_marks", "blamed"),
    [
        (False, "train", False, "boxes on them; "),
        (True, "train", True, "boxes on them; "),
        (True, "val", False, "boxes on them; "),
        (
            True,
            "train",
            False,
            "boxes on them, or this version cuts slices otherwise (crowds, boxes beyond the photo); ",
        ),
    ],
    ids=["whole photos", "slices of this version", "photos to validate", "slices of the former version"],
)
def test_slices_of_the_former_version_may_be_cut_otherwise(
    sliced: bool, split: str, recorded_marks: bool, blamed: str
) -> None:
    same, other = split_of(), split_of(boxes=np.array([[0.0, 0, 20, 20], [10, 10, 40, 50]]))
    recorded = data_identity(same, same)
    if not recorded_marks:
        for identity in recorded.values():
            del identity["marks"]
    train_set, val_set = (other if name == split else same for name in ("train", "val"))
    with pytest.raises(UserError, match=re.escape(f"found others, or other {blamed}restore them, or ")):
        require_same_data(Path("run"), recorded, train_set, val_set, sliced=sliced)
