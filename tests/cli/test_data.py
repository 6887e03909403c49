from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from detect.checkpoints.zoo import read_model
from detect.cli.data import data_command
from detect.config import Config
from detect.config.builders.detector import build_uninitialized
from detect.config.files import DESCRIBE_KEY, builtin_configs, load_config, read_settings
from detect.data.inspect import statistics
from detect.data.inspect.statistics import AnchorConfig
from detect.errors import UserError
from detect.models.proposers.rpn import RPN
from tests.conftest import Command
from tests.data.cases.write_cases import write_files
from tests.data.inspect.example_datasets import write_coco, write_voc
from tests.data.inspect.example_faults import FAULTS


def run(*arguments: object) -> Result:
    return CliRunner().invoke(data_command, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("fault", "flags", "status"),
    [
        (None, [], 0),
        (None, ["--strict"], 0),
        ("tiny", [], 0),
        ("outside", [], 1),
        ("empty image", [], 1),
    ],
)
def test_inspect_exit_status(tmp_path: Path, fault: str | None, flags: list[str], status: int) -> None:
    root = write_voc(tmp_path / "set")
    if fault:
        FAULTS[fault].apply(root)
    result = run("inspect", root, "--json", tmp_path / "findings.json", *flags)
    assert result.exit_code == status, result.output
    content = json.loads((tmp_path / "findings.json").read_text())
    assert [kind["kind"] for kind in content["kinds"]] == ([FAULTS[fault].kind] if fault else [])
    assert (content["images"], content["errors"] + content["warnings"]) == (12, int(bool(fault)))


def test_inspect_strict_prints_counts_by_kind(tmp_path: Path, detect_command: Command) -> None:
    root = write_voc(tmp_path / "set")
    FAULTS["tiny"].apply(root)
    status, _, err = detect_command("data", "inspect", root, "--strict")
    assert (status, err.splitlines()[-1]) == (2, f"detect: --strict: {root}: expected no finding, found 1 x tiny")


def test_inspect_groups_findings_of_a_kind(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "set")
    FAULTS["all boxes in fractions"].apply(root)
    lines = run("inspect", root).stdout.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("error: fractions: 48 x ")
    assert "; fix: " in lines[0]
    assert lines[4].strip() == "and 45 more"
    assert lines[5] == "48 errors, 0 warnings in 12 files; 12 images, 48 objects"
    assert len(run("inspect", root, "--examples", 50).stdout.splitlines()) == 50


@pytest.mark.parametrize(
    ("fault", "usage"),
    [
        (None, "48 kept + 0 dropped + 0 clipped = 48 found; images: 12 kept + 0 skipped = 12 found"),
        ("no extent", "47 kept + 1 dropped + 0 clipped = 48 found; images: 12 kept + 0 skipped = 12 found"),
        (
            "image without annotation",
            "48 kept + 0 dropped + 0 clipped = 48 found; images: 12 kept + 1 skipped = 13 found",
        ),
    ],
)
def test_stats_print_data_usage(tmp_path: Path, fault: str | None, usage: str) -> None:
    root = write_voc(tmp_path / "set")
    if fault:
        FAULTS[fault].apply(root)
    lines = run("stats", root).stdout.splitlines()
    assert lines[1] == f"boxes: {usage}"
    assert lines[2].startswith("splits: train from train (")


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("data.yaml", "names: [cat]\ntrain: images\nval: elsewhere\n", "val: expected a folder of images or a list"),
        ("labels/b.txt", "0 0.5 0.5 0.5 0.5 0.9\n", "line 1: expected class cx cy w h"),
        ("labels/b.txt", "25 0.5 0.5 0.5 0.5\n", "line 1: expected a class from 0 to 0, found 25"),
    ],
    ids=["split", "fields", "class"],
)
def test_stats_say_what_could_not_be_read(tmp_path: Path, file: str, text: str, line: str) -> None:
    files = {"data.yaml": "names: [cat]\ntrain: images\n"} | {f"labels/{x}.txt": "0 0.5 0.5 0.5 0.5\n" for x in "ab"}
    write_files(tmp_path, {f"images/{x}.jpg": "image" for x in "ab"} | files | {file: text})
    lines = run("stats", tmp_path).stdout.splitlines()
    assert any(each.startswith("noted: ") and line in each for each in lines), lines


@pytest.mark.parametrize(
    ("flags", "notes"),
    [
        ((), []),
        (("--set", "data.slice.size=64"), ["data.slice.size is not measured: "]),
        (("--set", "model.kind=fast_rcnn"), ["model.proposals is selective_search: a training has no anchors, "]),
        (
            ("--config", "finetune", "--set", "data.slice.size=64"),
            [
                "train.auto: measured are the sizes and anchors of detect/voc_faster_rcnn, ",
                "data.slice.size is not measured: ",
            ],
        ),
    ],
)
def test_stats_say_what_a_training_does_otherwise(tmp_path: Path, flags: tuple[str, ...], notes: list[str]) -> None:
    lines = run("stats", write_coco(tmp_path / "set"), *flags).stdout.splitlines()
    noted = [line.removeprefix("noted: ") for line in lines if line.startswith("noted: ")]
    assert len(noted) == len(notes)
    assert all(line.startswith(note) for line, note in zip(noted, notes, strict=True))


def measured_anchors(monkeypatch: pytest.MonkeyPatch, root: Path, *arguments: object) -> AnchorConfig:
    """Return the anchors that `detect data stats` measures."""
    measured: list[AnchorConfig] = []
    original = statistics.compute_statistics

    def spy(*given: Any) -> statistics.DatasetStatistics:
        measured.append(given[3])
        return original(*given)

    monkeypatch.setattr(statistics, "compute_statistics", spy)
    result = run("stats", root, *arguments)
    assert result.exit_code == 0, result.output
    return measured[0]


def trained_anchors(config: Config) -> tuple[tuple[tuple[float, ...], ...], tuple[int, ...]]:
    """Return the sizes and strides of the anchors of the detector that a training builds; without an RPN, of one."""
    if config.train.auto:
        config = read_model(Path("detect/voc_faster_rcnn"))[0].config
    update = {"kind": "faster_rcnn", "proposals": "rpn", "classifier": "softmax"}
    model = config.model if not config.model.uses_precomputed_proposals else config.model.model_copy(update=update)
    with torch.device("meta"):
        proposer = build_uninitialized(config.model_copy(update={"model": model}), ("cat",)).proposer
    assert isinstance(proposer, RPN)
    return proposer.anchor_generator.sizes, tuple(proposer.strides)


DETECTORS = [name for name, file in builtin_configs().items() if DESCRIBE_KEY not in read_settings(file)]
FPN = ("model.backbone.output=fpn", "model.backbone.fpn_levels=3", "model.rpn.anchor_sizes=[32,64,128,256]")


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        *(pytest.param(name, (), marks=[pytest.mark.slow] if "/" in name else []) for name in DETECTORS),
        ("faster_rcnn", FPN),
        ("faster_rcnn", ("model.backbone.output=c4",)),
    ],
)
def test_stats_measure_the_anchors_of_a_training(
    name: str, overrides: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [part for override in overrides for part in ("--set", override)]
    anchors = measured_anchors(monkeypatch, write_coco(tmp_path / "set"), "--config", name, *flags)
    assert (anchors.generator.sizes, anchors.strides) == trained_anchors(load_config(Path(name), overrides))


PYRAMID = ((32,), (64,), (128,), (256,), (512,))


@pytest.mark.parametrize(
    ("flags", "sizes", "strides"),
    [
        ((), ((128, 256, 512),), (16,)),
        (("--stride", 8), ((128, 256, 512),), (8,)),
        (("--config", "faster_rcnn"), ((14, 21, 31, 46, 66),), (8,)),
        (("--config", "faster_rcnn", "--stride", 16), ((14, 21, 31, 46, 66),), (16,)),
        (("--set", "model.backbone.output=fpn"), PYRAMID, (4, 8, 16, 32, 64)),
        (("--set", "model.backbone.output=fpn", "--stride", 8), PYRAMID, (4, 8, 16, 32, 64)),
    ],
)
def test_stats_without_a_file_have_the_defaults_of_a_training(
    flags: tuple[object, ...],
    sizes: tuple[tuple[float, ...], ...],
    strides: tuple[int, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    anchors = measured_anchors(monkeypatch, write_coco(tmp_path / "set"), *flags)
    assert (anchors.generator.sizes, anchors.strides) == (sizes, strides)


def test_stats_end_with_suggested_settings(tmp_path: Path) -> None:
    result = run("stats", write_coco(tmp_path / "set"), "--json", tmp_path / "s.json", "--set", "data.min_size=160")
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "s.json").read_text())["advised"]["settings"]
    assert result.stdout.splitlines()[-1] == f"suggested: {settings}"
    assert "data.min_size=160" in settings


def test_show_writes_page_and_image_grids(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "set")
    FAULTS["truncated image"].apply(root)
    result = run("show", root, "--out", tmp_path / "look", "--set", "data.min_size=80")
    assert result.exit_code == 1, result.output
    assert "p05.jpg: cannot be decoded" in result.stderr
    assert "splits: train from train (" in result.stdout
    assert sorted(file.name for file in (tmp_path / "look").iterdir()) == ["index.html", "sheet-1.jpg"]


WRONG_USAGE: dict[str, tuple[Callable[[Path], list[object]], str]] = {
    "no folder": (lambda root: ["inspect", root / "sett"], "expected a folder of labelled images, found nothing"),
    "empty folder": (lambda root: ["inspect", root / "ImageSets"], "found 0 images and no labels"),
    "another format": (
        lambda root: ["stats", root, "--format", "coco"],
        "expected images labelled in coco, found none",
    ),
    "unknown class": (
        lambda root: ["show", root, "--out", root / "new", "--class", "zebr"],
        r'--class zebr: expected one of 2 classes \(did you mean "zebra"\?\)',
    ),
    "full folder": (lambda root: ["show", root, "--out", root], "expected a new or empty folder"),
    "JSON to a folder": (lambda root: ["inspect", root, "--json", root], "expected a file to write, found a folder"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG_USAGE.values(), ids=WRONG_USAGE)
def test_wrong_usage_prints_one_line(tmp_path: Path, arguments: Callable[[Path], list[object]], message: str) -> None:
    root = write_voc(tmp_path / "set")
    result = run(*arguments(root))
    assert isinstance(result.exception, UserError)
    with pytest.raises(UserError, match=message):
        raise result.exception
