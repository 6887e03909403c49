from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from detect.cli import options
from detect.cli.repeat_command import repeat_command


@click.command()
@click.argument("models", type=Path, nargs=-1)
@click.option("--images", "paths", multiple=True)
@click.option("--turns", "repeats", type=int, default=10)
@click.option("--score", type=float, default=0.5)
@click.option("--similarity", is_flag=True)
@click.option("--out", type=Path)
@options.device
def measure(**_: object) -> None:
    """Print the command that repeats this one."""
    print(repeat_command("detect bench models", ("out",)))


@pytest.mark.parametrize(
    ("arguments", "repeated"),
    [
        (["runs/a", "b.onnx"], "runs/a b.onnx"),
        (
            ["a", "--turns", "3", "--device", "cuda", "--score", "0.123456789"],
            "--turns 3 --score 0.123456789 --device cuda",
        ),
        (["a", "--turns", "10"], "--turns 10"),
        (["a", "--similarity", "--out", "page.md"], "--similarity"),
        (["a", "--images", "photos/*.jpg", "--images", "my photos"], "--images 'photos/*.jpg' --images 'my photos'"),
        (["/home/someone/runs/voc/best.pt"], "runs/voc/best.pt"),
    ],
)
def test_command_has_all_that_the_user_gave(arguments: list[str], repeated: str) -> None:
    printed = CliRunner().invoke(measure, arguments, catch_exceptions=False).output
    assert printed == f"detect bench models {'a ' if arguments[0] == 'a' else ''}{repeated}\n"


def test_an_absolute_path_in_this_folder_is_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    printed = CliRunner().invoke(measure, [str(tmp_path / "runs" / "a")], catch_exceptions=False).output
    assert printed == "detect bench models runs/a\n"
