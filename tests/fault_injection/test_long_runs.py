"""Memory and open files of long work stay what they are: over 4,000 steps, and over 20,000 predicted images.

``pytest -m long tests/fault_injection/test_long_runs.py``, 14 minutes; ``-m slow`` runs an eighth of it, with a
quarter of the sensitivity. The fast suite sees that a growth is found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from tests.fault_injection.command_client import Commands
from tests.fault_injection.fixtures_jobs import settings
from tests.fault_injection.memory_growth import MonitoredRun, growth, run_monitored

Record = Callable[[str, object], None]

MAX_GROWTH = (
    20_000_000  # bytes over a whole run: 5 kB a step, 1 kB an image, whose answer is kept to be written at the end
)
SHORT, LONG = pytest.mark.slow, pytest.mark.long
# Workers, and steps or images. With workers a sample adds up the process and its workers; a leak in the reading of
# validation images shows only without them, because a validation starts workers of its own.
STEPS = [pytest.param(2, 1000, marks=SHORT), *(pytest.param(workers, 4000, marks=LONG) for workers in (0, 2))]
IMAGES = [pytest.param(2, 5000, marks=SHORT), *(pytest.param(workers, 20_000, marks=LONG) for workers in (0, 2))]

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="what a process holds is read in /proc")

LINE = list(range(40))
SERIES = [
    ([], 0.0),
    ([5.0], 0.0),
    ([5.0] * 40, 0.0),
    ([9.0 * place for place in LINE], 9.0 * 39),
    ([100.0 * min(place, 19) for place in LINE], 0.0),  # settles in the first half
    ([3.0 + 50.0 * (place % 5 == 0) for place in LINE], 0.0),  # held for moments
]


@pytest.mark.parametrize(("values", "expected"), SERIES)
def test_growth_measures_the_second_half(values: list[float], expected: float) -> None:
    assert growth(LINE[: len(values)], values) == pytest.approx(expected)


def test_growth_is_per_work_not_per_sample() -> None:
    done = [place**3 for place in LINE]
    assert growth(done, [2.0 * each for each in done]) == pytest.approx(2 * done[-1])


LEAKING = """
import sys, time
kept = []
with open(sys.argv[1], "a") as work:
    for turn in range(150):
        kept.append((b"x" * 1_000_000, open("/dev/null")))
        work.write("done")
        work.flush()
        time.sleep(0.01)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("code", "leaks"), [(LEAKING, True), (LEAKING.replace("kept.append", "len"), False)])
def test_monitor_detects_a_leak(code: str, leaks: bool, tmp_path: Path) -> None:
    run = run_monitored(["-c", code, tmp_path / "work"], tmp_path / "output.txt", tmp_path / "work")
    assert run.status == 0, run.text
    assert (run.memory_growth > MAX_GROWTH) is leaks
    assert (run.files_growth > 10) is leaks


def training(root: Path, place: Path, steps: int, workers: int = 0) -> Sequence[object]:
    """The arguments of a training on pictures of 32 pixels, with its validations and its checkpoints."""
    content: dict[str, Any] = settings(root, data={"min_size": 32, "max_size": 48, "workers": workers})
    content["train"] |= {"steps": steps, "batch_size": 1, "checkpoint_every": 100, "validate_every": 50}
    (place / "tiny.yaml").write_text(yaml.safe_dump(content), "utf-8")
    return ["train", "--config", place / "tiny.yaml", "--out", place / "run"]


def assert_flat(run: MonitoredRun, record: Record) -> None:
    record("growth in kB", round(run.memory_growth / 1000))
    record("growth in open files", round(run.files_growth))
    assert run.memory_growth < MAX_GROWTH
    assert run.files_growth < 1


@pytest.mark.parametrize(("workers", "steps"), STEPS)
def test_training_memory_stays_constant(
    workers: int, steps: int, shapes_root: Path, tmp_path: Path, record_property: Record
) -> None:
    command = training(shapes_root, tmp_path, steps, workers)
    run = run_monitored(["-m", "detect", *command], tmp_path / "output.txt", tmp_path / "run" / "metrics.csv")
    assert run.status == 0, run.text[-2000:]
    record_property("steps", steps)
    assert_flat(run, record_property)


@pytest.mark.parametrize(("workers", "images"), IMAGES)
def test_prediction_memory_stays_constant(
    workers: int, images: int, shapes_root: Path, commands: Commands, tmp_path: Path, record_property: Record
) -> None:
    commands.run_ok(*training(shapes_root, tmp_path, 4))
    cv2.imwrite(str(tmp_path / "image.png"), np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    (tmp_path / "images").mkdir()
    for place in range(images):
        (tmp_path / "images" / f"{place}.png").symlink_to(tmp_path / "image.png")
    command = ["predict", tmp_path / "run", tmp_path / "images", "--out", tmp_path / "found", "--workers", workers]
    run = run_monitored(["-m", "detect", *command], tmp_path / "output.txt", tmp_path / "found" / ".finished.jsonl")
    record_property("images", images)
    assert run.status == 0, run.text[-2000:]
    assert f"in {images} images" in run.text
    assert_flat(run, record_property)


# Pages of their own for each block: where the heap has holes, blocks of it would not add to the memory of the process.
PLANTED = """
import mmap
from detect.training import loop
update, kept = loop.update_weights, []
def leaking(*arguments):
    block = mmap.mmap(-1, 50_000)
    block.write(b"x" * 50_000)
    kept.append((block, open("/dev/null")))
    return update(*arguments)
loop.update_weights = leaking
from detect.cli.main import run
run()
"""


@pytest.mark.slow
def test_monitor_detects_a_leak_in_a_training_step(shapes_root: Path, tmp_path: Path) -> None:
    command = ["-c", PLANTED, *training(shapes_root, tmp_path, 800)]
    run = run_monitored(command, tmp_path / "output.txt", tmp_path / "run" / "metrics.csv")
    assert run.status == 0, run.text[-2000:]
    assert run.memory_growth > MAX_GROWTH
    assert run.files_growth > 400
