"""docs/reports/ablations.md: every row that can be run loads, changes each setting it names, and builds a detector."""

from __future__ import annotations

import re
import shlex
from functools import cache, reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from detect.checkpoints.checkpoint import load_checkpoint
from detect.cli.main import main
from detect.config import Config
from detect.config.builders.detector import build_uninitialized
from detect.config.files import builtin_folder, load_config
from detect.training.run import train
from tests.training.fixtures_training import QUIET

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reports" / "ablations.md"
FOLDER = builtin_folder() / "voc07"
_COMMANDS = ("train", "eval", "make")


class Row(NamedTuple):
    """A row of the page. command: one of _COMMANDS, "" where the row has none of ours; overrides: its settings."""

    name: str
    text: str
    command: str
    config: str
    overrides: tuple[str, ...]


def read_rows(page: str) -> list[Row]:
    """Return the rows of all tables of a page in Markdown."""
    rows = []
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) >= 4 and cells[0] != "table":
            rows.append(_to_row(f"{cells[0]}: {cells[1]}", cells[2]))
    return rows


def _to_row(name: str, text: str) -> Row:
    """Return a row; the settings are those of the first code of ``text`` that starts with a configuration."""
    for code in re.findall(r"`([^`]*)`", text):
        words = shlex.split(code)
        command = words.pop(0) if words[0] in _COMMANDS else "train"
        if (FOLDER / f"{words[0]}.yaml").is_file():
            overrides = tuple(word for word in words[1:] if word != "--set")
            return Row(name=name, text=text, command=command, config=words[0], overrides=overrides)
    return Row(name=name, text=text, command="", config="", overrides=())


ROWS = read_rows(PAGE.read_text(encoding="utf-8"))
RUNNABLE = [row for row in ROWS if row.config]
TRAININGS = [row for row in RUNNABLE if row.command == "train"]
# Five rows by lot, of those that need no file of another run. The lot is drawn once, so that it can be repeated.
_ALONE = [row for row in TRAININGS if "RUN" not in row.text and ".npz" not in row.text and "list:" not in row.text]
LOT = [_ALONE[index] for index in sorted(np.random.default_rng(2016).permutation(len(_ALONE))[:5])]
SMALL = [
    *("data.format=shapes", "data.train=train", "data.val=val", "data.train_images=12", "data.val_images=4"),
    *("data.max_size=160", "data.workers=0", "model.backbone.weights=null", "device=cpu"),
    *("model.rpn.min_size=0", "train.validate_every=null", "model.head.batch_size_per_image=16"),
    *("model.search.train_top_n=60", "model.search.test_top_n=40", "train.feature_cache_gb=1"),
]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("", []),
        ("| table | row | settings | published | ours |\n|---|---|---|---|---|", []),
        ("| 2 | dense | not there | 52.9 | |", [Row("2: dense", "not there", "", "", ())]),
        (
            "| 2 | a | `eval faster_rcnn_zf --set a.b=1 --set 'c=[{x: 1, y: 2}]'` | 1 | 2 |",
            [
                Row(
                    name="2: a",
                    text="`eval faster_rcnn_zf --set a.b=1 --set 'c=[{x: 1, y: 2}]'`",
                    command="eval",
                    config="faster_rcnn_zf",
                    overrides=("a.b=1", "c=[{x: 1, y: 2}]"),
                )
            ],
        ),
    ],
)
def test_read_rows(page: str, expected: list[Row]) -> None:
    assert read_rows(page) == expected


def test_the_page_has_the_rows_of_all_papers() -> None:
    assert len(ROWS) >= 75
    assert len(RUNNABLE) >= 55
    assert [row.name for row in ROWS if not (row.config or "`detect " in row.text or row.text == "not there")] == []


def setting(config: Config, key: str) -> object:
    """Return the value of a key such as train.lr."""
    return reduce(getattr, key.split("."), config)


@cache
def paper_config(name: str) -> Config:
    return load_config(FOLDER / f"{name}.yaml")


@pytest.mark.parametrize("row", RUNNABLE, ids=lambda row: row.name)
def test_row_loads_changes_each_key_and_builds(row: Row) -> None:
    config, defaults = load_config(FOLDER / f"{row.config}.yaml", row.overrides), paper_config(row.config)
    keys = [override.partition("=")[0] for override in row.overrides]
    assert [key for key in keys if setting(config, key) == setting(defaults, key)] == []
    with torch.device("meta"):
        detector = build_uninitialized(config, tuple(f"class {i}" for i in range(20)))
    assert any(parameter.requires_grad for parameter in detector.parameters())


@pytest.mark.parametrize("code", re.findall(r"`detect ([^`]*)`", PAGE.read_text(encoding="utf-8")))
def test_commands_of_the_page_have_known_options(code: str) -> None:
    words = shlex.split(code)
    options = [word for word in words if word.startswith("--")]
    help_text = CliRunner().invoke(main, [*words[: 1 if words[0] in ("eval", "train") else 2], "--help"]).output
    assert [option for option in options if option not in help_text] == []


@pytest.mark.parametrize(
    ("row", "steps"),
    [
        *(pytest.param(row, 4, id=row.name, marks=pytest.mark.slow) for row in (LOT[0], LOT[-1])),
        *(pytest.param(row, 20, id=f"{row.name}, 20 steps", marks=pytest.mark.long) for row in LOT),
    ],
)
def test_rows_chosen_by_lot_train(row: Row, steps: int, shapes_root: Path, tmp_path: Path) -> None:
    small = [*SMALL, f"data.root={shapes_root}"]
    lengths = {key.partition("=")[0] for key in row.overrides}
    config = load_config(FOLDER / f"{row.config}.yaml", row.overrides)
    if isinstance(config.data.min_size, int):
        small.append("data.min_size=96")
    if config.train.rpn_steps is not None:
        small.append(f"train.rpn_steps={steps}")
    steps = 1 if "train.steps" in lengths else steps
    settings = (*row.overrides, *small, f"train.steps={steps}")
    train(load_config(FOLDER / f"{row.config}.yaml", settings), tmp_path / "run", QUIET)
    assert load_checkpoint(tmp_path / "run" / "last.pt").step == steps
