from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from detect.checkpoints.checkpoint import load_checkpoint
from detect.checkpoints.validate import class_names
from detect.errors import UserError
from tests.checkpoints.test_detectron2_import import C4, tensor_shapes
from tests.conftest import Command


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["cat", "dog"], ("cat", "dog")),
        (["cat", " dog"], ("cat", "dog")),
        ([" big cat ", "\tdog\n"], ("big cat", "dog")),
        (None, ("zebra", "yak")),
    ],
)
def test_class_names(names: Sequence[str] | None, expected: tuple[str, ...]) -> None:
    assert class_names(2, "a.pth", names, (("ant",), ("zebra", "yak"))) == expected


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], ""),
        ([""], '""'),
        (["cat", ""], 'cat, ""'),
        (["cat", " "], 'cat, ""'),
        (["cat", "cat"], "cat, cat"),
        (["cat", " cat"], "cat, cat"),
        (["cat", "dog", ""], 'cat, dog, ""'),
        (["cat", "dog", "ant"], "cat, dog, ant"),
    ],
)
def test_class_names_that_are_not_as_many_different_names_are_refused(names: Sequence[str], found: str) -> None:
    with pytest.raises(UserError) as raised:
        class_names(2, "a.pth", names, ())
    assert str(raised.value) == f"--classes: expected 2 different names for a.pth, found {found}"


def test_command_takes_names_with_blanks_after_the_commas(tmp_path: Path, detect_command: Command) -> None:
    file, out, names = tmp_path / "model_final.pth", tmp_path / "ours.pt", [f"class {i}" for i in range(80)]
    torch.save({"model": {name: torch.zeros(1).expand(shape) for name, shape in tensor_shapes(C4).items()}}, file)
    command = ("model", "import", "--from", "detectron2", file, "--out", out, "--classes")
    status, _, err = detect_command(*command, ", ".join(names))
    assert (status, err) == (0, "")
    assert load_checkpoint(out).classes == tuple(names)
    status, _, err = detect_command(*command, ", ".join([*names[:78], "", "class 0"]))
    assert (status, len(err.splitlines())) == (2, 1)
    assert "--classes: expected 80 different names for " in err
