from __future__ import annotations

from pathlib import Path

import pytest

from detect.errors import RunError
from detect.training.context import TrainingResult
from detect.training.recipes.registry import RECIPES
from detect.training.run import train
from tests.training.fixtures_training import QUIET, settings_of

SHORTAGE = "CUDA out of memory. Tried to allocate 20.00 MiB"
SHORTAGES: list[tuple[BaseException, dict[str, int], str]] = [
    (
        MemoryError(),
        {"batch_size": 1},
        "memory: expected enough for a batch of 1, found no more memory on this machine; lower data.min_size and "
        "data.max_size: there is no smaller batch",
    ),
    (
        RuntimeError(f"{SHORTAGE}. GPU 0 has ..."),
        {"batch_size": 8, "accumulate": 1},
        f"memory: expected enough for a batch of 8, found {SHORTAGE}; half the batch takes about half of it (not "
        "tried): --set train.batch_size=4 --set train.accumulate=2",
    ),
    (
        MemoryError(),
        {"batch_size": 3, "accumulate": 2},
        "memory: expected enough for a batch of 3, found no more memory on this machine; half the batch takes about "
        "half of it (not tried): --set train.batch_size=1 --set train.accumulate=4",
    ),
]


@pytest.mark.parametrize(("error", "settings", "message"), SHORTAGES)
def test_too_little_memory_names_the_next_smaller_batch(
    error: BaseException,
    settings: dict[str, int],
    message: str,
    shapes_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fill_memory(*_: object) -> TrainingResult:
        raise error

    monkeypatch.setitem(RECIPES, "joint", fill_memory)
    with pytest.raises(RunError) as caught:
        train(settings_of(shapes_root, train=settings), tmp_path / "run", QUIET)
    assert str(caught.value) == message


def test_another_error_of_a_run_stays_as_it_is(
    shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> TrainingResult:
        raise RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")

    monkeypatch.setitem(RECIPES, "joint", fail)
    with pytest.raises(RuntimeError, match="tensor a"):
        train(settings_of(shapes_root), tmp_path / "run", QUIET)
