"""Splits that are named are used or refused, and those that are not named are found; what a reader drops is said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from detect.cli.options import load_data_settings, load_settings
from detect.config import Config, to_dict
from detect.config.builders.data import read_image_files, read_split, read_split_for_model, read_splits
from detect.config.builders.resolve import SplitKey, resolve
from detect.config.files import default_config, load_config, parse_config, with_overrides
from detect.config.merge import settings_to_merge
from detect.data.usage import data_usage
from detect.errors import UserError
from tests.config.test_splits import coco_file, csv_file, write
from tests.conftest import Command
from tests.data.cases.write_cases import BOX, Box, coco

TRAINVAL = ("data.train=trainval", "data.val=val")


def write_lists(root: Path, *lists: str) -> Path:
    """A folder with a CSV file of two images of its own for each list."""
    images = {f"{name}{i}.png": "image" for name in lists for i in (1, 2)}
    return write(root, images | {f"{name}.csv": csv_file(f"{name}1.png", f"{name}2.png") for name in lists})


def run_config(root: Path, train: str = "train", val: str | float = "val") -> Config:
    """The settings of a run folder, which has them all."""
    settings = to_dict(parse_config({"data": {"format": "csv", "root": str(root)}}, "test"))
    return parse_config(settings | {"data": settings["data"] | {"train": train, "val": val}}, "test")


def splits_of(config: Config) -> tuple[object, object]:
    data = resolve(config).data
    return data.train, data.val


@pytest.mark.parametrize(
    ("lists", "overrides", "expected"),
    [
        (["train", "val"], [], ("train", "val")),
        (["val"], [], ("val", 0.2)),
        (["val"], ["data.val=val"], ("val", "val")),
        (["val"], ["data.val=null"], ("val", 0.2)),
        (["trainval", "val"], [], ("trainval", 0.2)),
        (["trainval", "val"], ["data.train=trainval"], ("trainval", 0.2)),
        (["trainval", "val"], TRAINVAL, ("trainval", "val")),
        (["trainval", "val"], ["data={train: trainval, val: val}"], ("trainval", "val")),
        (["trainval", "val"], ["data.train=train", "data.val=val"], ("train", "val")),
        (["boxes"], ["data.val=val"], ("boxes", "val")),
        (["boxes"], ["data.val=0.5"], ("boxes", 0.5)),
    ],
)
def test_only_what_is_not_named_is_found_in_the_folder(
    lists: Sequence[str], overrides: Sequence[str], expected: tuple[object, object], tmp_path: Path
) -> None:
    root = write_lists(tmp_path / "new", *lists)
    of_run, of_settings = run_config(tmp_path / "old"), ["data.format=csv", f"data.root={root}"]
    assert splits_of(default_config([*overrides, *of_settings])) == expected
    assert splits_of(with_overrides(of_run, [*of_settings, *overrides])) == expected
    assert splits_of(with_overrides(of_run, [*overrides, *of_settings])) == expected
    assert splits_of(with_overrides(default_config(of_settings), overrides)) == expected
    file = tmp_path / "voc07.yaml"
    file.write_text(yaml.safe_dump({"data": {"root": "data/VOC", "train": "train", "val": "val"}}), encoding="utf-8")
    assert splits_of(load_config(file, [*overrides, *of_settings])) == expected
    child = tmp_path / "child.yaml"
    child.write_text(yaml.safe_dump({"base": file.name, "data": {"root": str(root)}}), encoding="utf-8")
    assert splits_of(load_config(child, ["data.format=csv", *overrides])) == expected


@pytest.mark.parametrize(
    ("lists", "of_run", "expected"),
    [
        (["train", "valid", "test"], ("train", "val"), ("train", "valid")),
        (["train", "valid", "test"], ("train", 0.2), ("train", "valid")),
        (["train", "valid", "test"], ("train", 0.1), ("train", 0.1)),
        (["boxes"], ("train", 0.2), ("boxes", 0.2)),
        (["trainval", "val"], ("trainval", "val"), ("trainval", "val")),
        (["train", "heldout"], ("train", "heldout"), ("train", "heldout")),
        (["final", "val"], ("final", "val"), ("final", "val")),
    ],
)
def test_a_model_on_another_folder_keeps_what_it_did_not_find_in_its_own(
    lists: Sequence[str], of_run: tuple[str, str | float], expected: tuple[object, object], tmp_path: Path
) -> None:
    root = write_lists(tmp_path / "new", *lists)
    config = with_overrides(run_config(tmp_path / "old", *of_run), ["data.format=csv", f"data.root={root}"])
    assert splits_of(config) == expected


def test_an_exported_model_has_only_the_splits_that_were_set() -> None:
    for settings, expected in (({}, set()), ({"val": "val"}, {"val"}), ({"train": "a", "val": 0.2}, {"train", "val"})):
        config = parse_config({"data": {"format": "csv", "root": "x"} | settings}, "test")
        saved = parse_config(settings_to_merge(config), "saved")
        assert saved == config
        assert {"train", "val"} & saved.data.model_fields_set == expected


@pytest.mark.parametrize("root", ["~nobody-of-that-name/set", "{loop}/set", "~/set"])
def test_a_folder_that_does_not_exist_is_another_one(root: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    config = with_overrides(run_config(tmp_path), [f"data.root={root.format(loop=tmp_path / 'loop')}"])
    assert not {"train", "val"} & config.data.model_fields_set


@pytest.mark.parametrize(
    "overrides",
    [[], ["data.min_size=100"], ["data.root={root}"], ["data.root={root}/../own"], ["data.root={root}/../link"]],
)
def test_a_run_keeps_the_splits_of_its_own_folder(overrides: Sequence[str], tmp_path: Path) -> None:
    root = write_lists(tmp_path / "own", "trainval", "val")
    (tmp_path / "link").symlink_to(root)
    config = resolve(with_overrides(run_config(root, "trainval", "val"), [key.format(root=root) for key in overrides]))
    assert (config.data.train, config.data.val) == ("trainval", "val")
    assert resolve(config).data == config.data
    assert read_split(config, "val")[1] == ("splits: val from val (2 images)",)
    _, (line, *_) = read_split(with_overrides(config, ["data.val=0.5"]), "val")
    assert line.startswith("splits: trainval (2 images) split by a hash of the file names: 1 to train, 1 to validate")


@pytest.mark.parametrize(
    ("lists", "key", "name", "message"),
    [
        (
            ["val"],
            "val",
            "vla",
            r'data\.val: expected a split of \S+, which has val, found vla \(did you mean "val"\?\)$',
        ),
        (
            ["boxes"],
            "val",
            "val",
            r"which has boxes, found val: --set data\.val=boxes scores on all of it, and without data\.val a fifth",
        ),
        (["train", "val"], "val", "heldout", r"which has train, val, found heldout: --set data\.val=val"),
        (["train", "val"], "train", "final", r"which has train, val, found final: --set data\.train=train$"),
        (["one", "two"], "val", "heldout", r"which has one, two, found heldout: --set data\.val=NAME$"),
        (["trainval", "val"], "train", "train", r"which has trainval, val, found train \(did you mean"),
    ],
)
def test_a_split_that_the_folder_lacks_is_refused_with_those_that_it_has(
    lists: Sequence[str], key: SplitKey, name: str, message: str, tmp_path: Path
) -> None:
    root = write_lists(tmp_path / "set", *lists)
    other = {"train": "val", "val": "train"}[key]
    overrides = ["data.format=auto", f"data.root={root}", f"data.{key}={name}", f"data.{other}={lists[-1]}"]
    with pytest.raises(UserError, match=message):
        read_split(default_config(overrides), key)
    with pytest.raises(UserError, match=message):
        read_splits(default_config(overrides))
    model = run_config(tmp_path / "old", "final", "heldout")
    with pytest.raises(UserError, match=message):
        read_split_for_model(with_overrides(model, overrides), key, ["cat"], overrides)
    of_model = ["data.format=auto", f"data.root={root}"]
    with pytest.raises(UserError, match=r"found (final|heldout), which is of the model's settings: --set data"):
        read_split_for_model(with_overrides(model, of_model), key, ["cat"], of_model)


@pytest.mark.parametrize("name", ["val", "val.csv", "labels/val.csv", "{root}/val.csv"])
def test_a_file_may_be_named_by_its_path(name: str, tmp_path: Path) -> None:
    root = write_lists(tmp_path / "set", "train", "val")
    write(root, {"labels/val.csv": csv_file("val1.png", "val2.png")})
    overrides = ["data.format=csv", f"data.root={root}", "data.train=train", f"data.val={name.format(root=root)}"]
    assert len(read_split(default_config(overrides), "val")[0]) == 2
    (root / "labels/val.csv").write_text("damaged\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"^\S+/labels/val\.csv: "):
        read_split(default_config([*overrides, "data.val=labels/val.csv"]), "val")


INSIDE, OUTSIDE, EMPTY, ACROSS = BOX, (700.0, 10.0, 740.0, 50.0), (10.0, 10.0, 10.0, 50.0), (80.0, 10.0, 120.0, 40.0)
COUNTS = "images: 2 kept + 0 skipped = 2 found"


@pytest.mark.parametrize(
    ("boxes", "lines"),
    [
        ([], []),
        ([INSIDE], []),
        ([INSIDE, OUTSIDE], [f"boxes: 1 kept + 1 dropped + 0 clipped = 2 found; {COUNTS}", r"dropped, .*2 of a\.png"]),
        (
            [EMPTY, INSIDE, OUTSIDE],
            [f"boxes: 1 kept + 2 dropped + 0 clipped = 3 found; {COUNTS}", r"dropped, .*1 of a\.png .* \.\.\.$"],
        ),
        ([ACROSS], [f"boxes: 0 kept + 0 dropped + 1 clipped = 1 found; {COUNTS}", "clipped: boxes that reach outside"]),
    ],
    ids=["no boxes", "all kept", "one dropped", "two dropped", "one clipped"],
)
def test_boxes_that_are_left_out_of_a_score_are_said(
    boxes: Sequence[Box], lines: Sequence[str], tmp_path: Path
) -> None:
    names = [(name, (96, 64)) for name in ("a.png", "b.png")]
    files = {"val.json": coco(names, [(1, 1, box) for box in boxes])} | {name: "image" for name, _ in names}
    root = write(tmp_path / "set", files)
    config = default_config(["data.format=coco", f"data.root={root}", "data.val=val"])
    annotations, notes = read_split_for_model(config, "val", ["cat"])
    assert notes[0] == "splits: val from val (2 images)"
    assert len(notes) == 1 + len(lines)
    for note, line in zip(notes[1:], lines, strict=True):
        assert re.match(line.replace("+", r"\+"), note)
    if lines:
        assert notes[1] == str(data_usage([annotations]))
    cut, cut_notes = read_split(with_overrides(config, ["data.train=val", "data.val=0.5"]), "val")
    assert len(cut) == 1
    assert [note.removesuffix(" (of both parts of the split)") for note in cut_notes[1:]] == list(notes[1:])


def test_images_of_both_splits_come_with_the_lines_on_them(tmp_path: Path) -> None:
    root = write_lists(tmp_path / "set", "train", "val")
    files, notes = read_image_files(default_config(["data.format=auto", f"data.root={root}"]), ["train", "val"])
    assert [file.name for file in files] == ["train1.png", "train2.png", "val1.png", "val2.png"]
    assert notes == ("splits: train from train (2 images)", "splits: val from val (2 images)")
    whole = write_lists(tmp_path / "one", "boxes")
    files, notes = read_image_files(default_config(["data.format=auto", f"data.root={whole}"]), ["train", "val"])
    assert len(files) == 2
    line = "splits: boxes (2 images) split by a hash of the file names: 1 to train, 1 to validate"
    assert notes == (line,), "one line for both"


@pytest.mark.parametrize(
    ("file", "where"),
    [("val.csv", r"val\.csv"), ("val.json", r"val\.json")],
)
def test_a_class_that_the_model_lacks_names_the_labels_and_the_cure(file: str, where: str, tmp_path: Path) -> None:
    content = csv_file("a.png") if file.endswith("csv") else coco_file("a.png")
    root = write(tmp_path / "set", {"a.png": "image", file: content})
    config = default_config(["data.format=auto", f"data.root={root}", "data.val=val"])
    message = rf'a\.png: expected objects of 1 classes, found "cat", in \S+/{where}: a class that the model does not'
    with pytest.raises(UserError, match=message):
        read_split_for_model(config, "val", ["dog"])
    assert len(read_split_for_model(config, "val", ["dog", "cat"])[0].boxes) == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], None),
        (["data.val=val", "data.train=train"], None),
        (["data.val=null"], None),
        (["data.val_images=2"], None),
        (["data.val=0.5"], r"^data\.val: expected no other split than val with data\.format=shapes, .*, found 0\.5$"),
        (
            ["data.train=all"],
            r"^data\.train: expected no other split than train .*data\.train_images.*, found \"all\"$",
        ),
        (["data={val: 0.5}"], r"^data\.val: "),
    ],
)
def test_shapes_have_no_other_splits(overrides: tuple[str, ...], message: str | None) -> None:
    if message is None:
        assert load_data_settings(None, tuple(overrides)).data.format == "shapes"
        return
    with pytest.raises(UserError, match=message):
        load_data_settings(None, tuple(overrides))
    with pytest.raises(UserError, match=message):
        read_split(default_config(overrides), "val", overrides)
    assert load_data_settings(None, (*overrides, "data.format=auto")).data.format == "auto"
    assert load_settings(None, tuple(overrides)).data.format == "shapes", "where the data of a folder are read"


def test_proposals_say_which_images_and_boxes_they_are_of(tmp_path: Path, detect_command: Command) -> None:
    images = [(name, (96, 64)) for name in ("a.png", "b.png")]
    files = {"val.json": coco(images, [(1, 1, INSIDE), (2, 1, EMPTY)])} | {name: "image" for name, _ in images}
    root, file = write(tmp_path / "set", files), tmp_path / "boxes.npz"
    options = ("--set", "data.format=auto", "--set", f"data.root={root}", "--set", "data.val=val", "--split", "val")
    expected = (
        "splits: val from val (2 images)\n"
        "boxes: 1 kept + 1 dropped + 0 clipped = 2 found; images: 2 kept + 0 skipped = 2 found\n"
        "dropped, and not used: "
    )
    for command in (("make", "--out", file), ("recall", file, "--figure", tmp_path / "recall.png")):
        status, out, err = detect_command("proposals", *command, *options)
        assert (status, err) == (0, "")
        assert out.startswith(expected)
