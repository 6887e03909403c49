"""What several folders of tests use."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from PIL import Image

if os.environ.get("DETECT_TEST_GPU") != "1":  # equality to the bit, and two processes on one machine, need the CPU
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR", "COLUMNS", "LINES"):
    os.environ.pop(name, None)  # they change what rich prints, which tests compare; pytest reads them too
os.environ["OMP_NUM_THREADS"] = "1"  # before torch: two test processes of two threads each take twice the time

# The same examples in every run, so that a failure is one of the commit; `DETECT_TEST_EXAMPLES=new` draws others.
settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.register_profile("new", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("DETECT_TEST_EXAMPLES", "same"))

SHARED = Path(__file__).resolve().parents[2] / "shared"
Command = Callable[..., tuple[int, str, str]]

TINY = {
    "seed": 3,
    "model": {
        "backbone": {"name": "small", "norm": "batch", "output": "merged", "neck_channels": 16},
        "rpn": {
            "channels": 16,
            "anchor_sizes": [24, 48],
            "post_nms_top_n_train": 60,
            "post_nms_top_n_test": 30,
            "allowed_border": None,
        },
        "head": {"type": "fc", "fc_dim": 16, "pool_size": 3, "batch_size_per_image": 16},
    },
    "data": {
        "train_images": 12,
        "val_images": 4,
        "min_size": [80, 96],
        "max_size": 128,
        "size_divisor": 16,
        "workers": 0,
        "augment": {"crop": 0.5, "color_jitter": 0.2},
    },
    "train": {"steps": 7, "batch_size": 4, "lr": 0.01, "ema_decay": 0.9, "log_every": 2, "checkpoint_every": 2},
}


@pytest.fixture(scope="session")
def shapes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests draw the built-in data set, once."""
    return tmp_path_factory.mktemp("shapes")


@pytest.fixture(scope="session", autouse=True)
def unsynced_files() -> Iterator[None]:
    """Files written in this process do not wait for the disk, which takes 20 ms for each and a third of a training.

    The commands of ``tests/fault_injection`` are processes of their own, and wait.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def blank_curves() -> Iterator[None]:
    """Trainings in this process write a blank curves.png: of a training of two steps the figure is half the time.

    The training of ``tests/training/test_run.py`` draws it, and those in processes of their own.
    """
    from detect.training import trainer

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trainer, "draw_curves", lambda _, out: Image.new("RGB", (8, 8)).save(out))
        yield


@pytest.fixture(scope="session", autouse=True)
def auto_precision_in_float32() -> Iterator[None]:
    """``precision=auto`` is fp32 in this process: by the clock two runs of a test could have other bits.

    The choice has tests of its own, and commands in processes of their own are given a precision.
    """
    from detect.inference import load
    from detect.inference.auto_precision import PrecisionChoice

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(load, "choose_precision", lambda _, __: PrecisionChoice("fp32", "auto: in tests"))
        yield


@pytest.fixture
def detect_command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """``detect_command("train", ...)`` -> exit status, stdout, stderr, in this process."""
    from detect.cli.main import run

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["detect", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            run()
        out, err = capfd.readouterr()
        code = exit_info.value.code
        assert isinstance(code, int)
        return code, out, err

    return call


@pytest.fixture
def shared_data() -> Path:
    """The folder of real images beside the checkout; the test is skipped where there is none."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no {SHARED / 'data'}: real images are not part of the project")
    return SHARED / "data"
