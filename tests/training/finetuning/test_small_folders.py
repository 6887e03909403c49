"""Folders of a new user: few images, few classes, nothing to learn from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config.files import load_config
from detect.errors import UserError
from detect.training.run import train
from tests.training.fixtures_training import QUIET

QUICK = ("train.steps=2", "train.batch_size=1")


def csv_folder(folder: Path, photos: Path, rows: list[str]) -> Path:
    """Return a folder with images 0.jpg, 1.jpg, ... and a CSV file with these rows."""
    folder.mkdir()
    files = sorted((photos / "train").iterdir())
    names = dict.fromkeys(row.split(",")[0] for row in rows)
    for name, file in zip(names, files, strict=False):
        shutil.copy(file, folder / name)
    (folder / "labels.csv").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return folder


TRAINED = [
    ("two images", ["0.jpg,disc,5,5,40,40", "1.jpg,disc,9,9,50,50"], (), ("disc",)),
    ("three images", ["0.jpg,a,5,5,40,40", "1.jpg,b,9,9,50,50", "2.jpg,a,9,9,50,50"], (), ("a", "b")),
    ("one image", ["0.jpg,a,5,5,40,40"], ("train.validate_every=null",), ("a",)),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "overrides", "classes"), [case[1:] for case in TRAINED], ids=[case[0] for case in TRAINED]
)
def test_few_images_are_trained_on(
    rows: list[str], overrides: tuple[str, ...], classes: tuple[str, ...], initial: Path, photos: Path, tmp_path: Path
) -> None:
    folder = csv_folder(tmp_path / "few", photos, rows)
    settings = [f"data.root={folder}", f"model.init={initial}", *QUICK, *overrides]
    train(load_config(Path("finetune"), settings), tmp_path / "run", QUIET)
    assert load_checkpoint(tmp_path / "run" / "best.pt").classes == classes


REFUSED = [
    ("empty", [], "expected"),
    ("one image", ["0.jpg,a,5,5,40,40"], "data.val: expected at least two images to split, found 1"),
    ("no objects", ["0.jpg,,,,,", "1.jpg,,,,,"], "data.train: expected at least one object, found none"),
]


@pytest.mark.parametrize(("rows", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_nothing_to_train_on_is_one_line_and_leaves_no_folder(
    rows: list[str], message: str, initial: Path, photos: Path, tmp_path: Path
) -> None:
    folder = csv_folder(tmp_path / "none", photos, rows)
    with pytest.raises(UserError) as caught:
        train(load_config(Path("finetune"), [f"data.root={folder}", f"model.init={initial}"]), tmp_path / "run", QUIET)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()


SLICES_ALONE = ("data.slice.size=40", "data.slice.whole=false")
LEFT = [
    ("none that is not difficult", "difficult", ("data.train_on_difficult=false",), "true where all objects to train"),
    ("none in a slice", "", SLICES_ALONE, "slices with objects, found none that shows the fraction 0.4 of one of"),
    ("crowds alone, no slice", "iscrowd", SLICES_ALONE, "found none that shows .* of 0 objects, without crowds"),
]


@pytest.mark.parametrize(("flag", "overrides", "message"), [case[1:] for case in LEFT], ids=[case[0] for case in LEFT])
def test_settings_that_leave_nothing_to_train_on_are_one_line_and_leave_no_folder(
    flag: str, overrides: tuple[str, ...], message: str, initial: Path, photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "flagged"
    shutil.copytree(photos, folder)
    labels = json.loads((folder / "train.json").read_text(encoding="utf-8"))
    sizes = {image["id"]: (image["width"], image["height"]) for image in labels["images"]}
    for instance in labels["annotations"]:  # as large as its photo
        instance |= {"bbox": [0, 0, *sizes[instance["image_id"]]], flag: 1}
    (folder / "train.json").write_text(json.dumps(labels), encoding="utf-8")
    settings = [f"data.root={folder}", f"model.init={initial}", *QUICK]
    with pytest.raises(UserError, match=rf"^data\.[a-z_.]+: expected .*{message}") as caught:
        train(load_config(Path("finetune"), [*settings, *overrides]), tmp_path / "run", QUIET)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()
