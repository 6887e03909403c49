"""A prediction with ``precision=auto`` that was interrupted goes on in the precision in which it began."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.cli.main import run
from detect.config import Precision
from detect.inference import load as load_module
from detect.inference.auto_precision import PrecisionChoice
from detect.inference.prediction_journal import BatchResult, PredictionJournal
from tests.conftest import Command
from tests.inference.test_slices import save_model


def choose(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "choose_precision", lambda _, __: PrecisionChoice(precision, "auto: by the test"))


@pytest.mark.parametrize(("first", "second"), [("bf16", "fp32"), ("fp32", "bf16")])
def test_an_interrupted_run_goes_on_in_its_precision(
    first: Precision, second: Precision, tmp_path: Path, detect_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = save_model(tmp_path, []), tmp_path / "out"
    (tmp_path / "photos").mkdir()
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (60, 80, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "photos" / f"{index}.png"), pixels)
    command = ["predict", model, tmp_path / "photos", "--out", out, "--batch-size", 1, "--workers", 0, "--score", 0]
    add, done = PredictionJournal.add, list[BatchResult]()

    def add_or_die(self: PredictionJournal, result: BatchResult) -> None:
        if done:
            raise ZeroDivisionError
        done.append(result)
        add(self, result)

    choose(first, monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(PredictionJournal, "add", add_or_die)
        patched.setattr(sys, "argv", [*map(str, ["detect", *command, "--format", "json"])])
        with pytest.raises(ZeroDivisionError):
            run()
    choose(second, monkeypatch)
    status, stdout, _ = detect_command(*command, "--format", "json")
    assert status == 0
    assert f"precision: {first}, as in the run that was interrupted" in stdout
    resumed = (out / "predictions.json").read_bytes()
    shutil.rmtree(out)
    status, stdout, _ = detect_command(*command, "--format", "json", "--precision", first)
    assert (status, "as in the run" in stdout) == (0, False)
    assert (out / "predictions.json").read_bytes() == resumed
