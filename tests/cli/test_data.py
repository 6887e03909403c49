from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from detect.cli.data import data_command
from detect.errors import UserError
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


@pytest.mark.parametrize(("overrides", "is_said"), [((), False), (("--set", "data.slice.size=64"), True)])
def test_stats_say_that_slices_are_not_measured(tmp_path: Path, overrides: tuple[str, ...], is_said: bool) -> None:
    lines = run("stats", write_coco(tmp_path / "set"), *overrides).stdout.splitlines()
    assert any(line.startswith("noted: data.slice.size is not measured: ") for line in lines) == is_said


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
