"""The comparison of the generations: what is done is not done again, what belongs to another comparison is refused."""

from __future__ import annotations

import json
import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from detect.errors import UserError, RunError

TOOL = runpy.run_path(str(Path(__file__).resolve().parents[2] / "tools" / "compare_generations.py"))
part_of: Callable[..., Path] = TOOL["part_of"]
timed: Callable[..., float] = TOOL["timed"]

Said = list[list[str]]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    """The commands that were run. Each makes what stands last; one with ``fail`` ends with status 1."""
    commands: Said = []

    class Process:
        def __init__(self, command: list[str]) -> None:
            commands.append(command[3:])
            self.returncode = int("fail" in command)
            made = Path(command[-1])
            if self.returncode == 0 and made.suffix:
                made.write_text("made")
            elif not made.suffix:
                made.mkdir(exist_ok=True)
                (made / "config.yaml").touch()

        def poll(self) -> int:
            return self.returncode

    monkeypatch.setattr(subprocess, "Popen", Process)
    return commands


def test_what_is_done_is_not_done_again_unless_it_is_gone(said: Said, tmp_path: Path) -> None:
    made = tmp_path / "p.npz"
    for _ in range(2):
        timed(tmp_path, "search", ["make", made], made)
    assert len(said) == 1
    made.unlink()
    timed(tmp_path, "search", ["make", made], made)
    assert len(said) == 2


def test_what_another_command_made_is_refused_and_made_anew_once_removed(said: Said, tmp_path: Path) -> None:
    made = tmp_path / "p.npz"
    timed(tmp_path, "search", ["make", made], made)
    with pytest.raises(UserError, match=r"p\.npz: expected nothing, or what this command makes, found another's"):
        timed(tmp_path, "search", ["make", "--set", "x=1", made], made)
    made.unlink()
    timed(tmp_path, "search", ["make", "--set", "x=1", made], made)
    assert said == [["make", str(made)], ["make", "--set", "x=1", str(made)]]


def test_a_run_cut_off_goes_on_and_its_seconds_add_up(said: Said, tmp_path: Path) -> None:
    run = tmp_path / "rcnn"
    with pytest.raises(RunError, match="rcnn training: expected the command above to succeed"):
        timed(tmp_path, "rcnn training", ["train", "fail", run], run)
    known = json.loads((tmp_path / "seconds.json").read_text())
    known["rcnn training"]["seconds"] = 100.0
    (tmp_path / "seconds.json").write_text(json.dumps(known))
    assert timed(tmp_path, "rcnn training", ["train", "fail", run], run) >= 100
    assert said[1] == ["train", "--resume", str(run)]


def voc(folder: Path) -> Path:
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name in ("train", "val"):
        (lists / f"{name}.txt").write_text("".join(f"{number:06}\n" for number in range(11)))
    return folder


@pytest.mark.parametrize(
    ("every", "other", "words"),
    [
        (5, True, "Annotations: expected a link to .*other/Annotations, found one to .*voc/Annotations; give another"),
        (3, False, "train.txt: expected one image of 3, found other images; give another --out"),
    ],
)
def test_a_part_of_other_images_is_refused(every: int, other: bool, words: str, tmp_path: Path) -> None:
    first, second = voc(tmp_path / "voc"), voc(tmp_path / "other")
    for _ in range(2):
        part = part_of(first, tmp_path / "part", 5)
    assert (part / "ImageSets" / "Main" / "val.txt").read_text() == "000000\n000005\n000010\n"
    with pytest.raises(UserError, match=words):
        part_of(second if other else first, tmp_path / "part", every)
