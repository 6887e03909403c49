"""``train.precision=auto`` is measured once; the run folder and a resume have what was chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Precision
from detect.config.files import load_config
from detect.errors import UserError
from detect.inference.auto_precision import PrecisionChoice
from detect.system.device import select_device
from detect.training import precision as precision_module
from detect.training.loop import Interrupted
from detect.training.run import resume, train
from detect.training.run_folder import RunFolder
from tests.training.test_run import assert_same_run, at_step, tiny

CHOSEN = PrecisionChoice("bf16", "auto: bf16 takes 0.50 of fp32's time")


@pytest.mark.slow
def test_auto_is_resolved_once_into_the_settings_of_the_run(
    shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise Interrupted("stopped")

    def choose(*_: object) -> PrecisionChoice:
        measured.append("once")
        return CHOSEN

    quiet, measured = Console(quiet=True), list[str]()
    monkeypatch.setattr(precision_module, "choose_training_precision", choose)
    short = {"steps": 3, "validate_every": None}
    with monkeypatch.context() as patched:
        at_step(patched, 2, interrupt)
        with pytest.raises(Interrupted):
            train(tiny(shapes_root, train=short | {"precision": "auto"}), tmp_path / "auto", quiet)
    assert load_config(tmp_path / "auto" / "config.yaml").train.precision == "bf16"
    log = (tmp_path / "auto" / "log.txt").read_text(encoding="utf-8")
    assert f"train.precision: bf16 ({CHOSEN.reason})" in log
    resume(tmp_path / "auto", quiet)
    assert measured == ["once"]
    train(tiny(shapes_root, train=short | {"precision": "bf16"}), tmp_path / "bf16", quiet)
    assert_same_run(tmp_path / "auto", tmp_path / "bf16")
    assert load_checkpoint(tmp_path / "auto" / "last.pt").config.train.precision == "bf16"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_that_is_set_is_not_measured(
    precision: Precision, shapes_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(precision_module, "choose_training_precision")
    config = tiny(shapes_root, train={"precision": precision})
    assert precision_module.compute_config(config) == select_device("cpu", precision)
    assert precision_module.resolved_precision(config, "settings") == precision


def test_auto_that_is_not_resolved_is_one_line(shapes_root: Path, tmp_path: Path) -> None:
    config = tiny(shapes_root, train={"precision": "auto"})
    file = RunFolder.create(tmp_path / "run", config, ["detect"]).config_file
    with pytest.raises(UserError) as error:
        resume(tmp_path / "run", Console(quiet=True))
    assert str(error.value) == f"train.precision: expected fp32, bf16 or fp16 in {file}, found auto"
