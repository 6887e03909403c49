"""Bad checkpoints, proposals and settings are refused in one line, and no code in them runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config.files import load_config
from detect.errors import UserError
from detect.proposals.files import read_proposals
from tests.bad_inputs.bad_input import BadInput
from tests.bad_inputs.example_binaries import CHECKPOINTS, PROPOSALS, SETTINGS
from tests.conftest import Command

CASES = [
    pytest.param(reader, bad_input, id=f"{kind}: {name}")
    for kind, reader, table in (
        ("checkpoint", load_checkpoint, CHECKPOINTS),
        ("proposals", read_proposals, PROPOSALS),
        ("settings", load_config, SETTINGS),
    )
    for name, bad_input in table.items()
]


@pytest.mark.parametrize(("reader", "bad_input"), CASES)
def test_bad_binary_is_refused_with_its_file_name(
    reader: Callable[[Path], object], bad_input: BadInput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = bad_input.write(tmp_path)
    with pytest.raises(UserError, match=bad_input.error) as raised:
        reader(file)
    assert str(raised.value).startswith(f"{file}: ")
    assert len(str(raised.value)) < 1000
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "bad_input"),
    [
        (("train", "--config"), SETTINGS["alias bomb"]),
        (("eval",), CHECKPOINTS["pickle that runs code"]),
        (("eval",), CHECKPOINTS["without its keys"]),
    ],
)
def test_command_with_bad_file_exits_with_status_2_and_one_line(
    arguments: tuple[str, ...], bad_input: BadInput, tmp_path: Path, detect_command: Command
) -> None:
    file = bad_input.write(tmp_path)
    status, out, err = detect_command(*arguments, file)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert str(file) in err
