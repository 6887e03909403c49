"""Parts 2 and 3: short trainings in every precision, and what two equal runs and a resumed one share."""

from __future__ import annotations

import csv
import os
import signal
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from detect.bench.inference import agreement
from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Precision
from detect.inference.load import load
from detect.ops import roi
from detect.training.loop import Interrupted
from detect.training.run import resume, train
from detect.training.run_folder import RunFolder
from tools.cuda_checks.inputs import (
    QUIET,
    TOLERANCE_PX,
    drawn_files,
    exact_float32,
    shapes_config,
    trained,
)
from tools.cuda_checks.records import Observation, Setup


def training_in_fp32(setup: Setup) -> Iterator[Observation]:
    """Train in fp32: the losses fall."""
    yield from _losses_fall(setup, "fp32")


def training_in_bf16(setup: Setup) -> Iterator[Observation]:
    """Train in bf16: the losses fall."""
    yield from _losses_fall(setup, "bf16")


def training_in_fp16(setup: Setup) -> Iterator[Observation]:
    """Train in fp16: the losses fall."""
    yield from _losses_fall(setup, "fp16")


def _losses_fall(setup: Setup, precision: Precision) -> Iterator[Observation]:
    if precision not in setup.precisions:
        yield Observation(f"{precision}: not on a CPU")
        return
    started = time.perf_counter()
    folder = trained(setup, precision)
    seconds, losses = time.perf_counter() - started, mean_losses(folder)
    half = max(1, len(losses) // 2)
    first, last = sum(losses[:half]) / half, sum(losses[half:]) / max(1, len(losses) - half)
    text = f"{precision}: {seconds:.1f} s; mean loss of the first half {first:.3f}, of the second {last:.3f}"
    yield Observation(text, setup.small or last < first, {"precision": precision, "losses": losses})


def mean_losses(folder: Path) -> list[float]:
    """Return the losses in the rows of metrics.csv that have one."""
    with (folder / "metrics.csv").open(encoding="utf-8") as stream:
        return [float(row["loss"]) for row in csv.DictReader(stream) if row.get("loss")]


def detections_of_both(setup: Setup) -> Iterator[Observation]:
    """Load each best.pt on the CPU and on the device: the same detections in 20 images."""
    files = drawn_files(setup, 20)
    for precision in setup.precisions:
        folder = trained(setup, precision)
        cpu = load(folder, "cpu")
        for name, exact in (("as torch sets it", nullcontext()), ("convolutions in float32", exact_float32())):
            with exact:
                device = load(folder, setup.device)
                expected, found = ([one.predict(file, 0.05) for file in files] for one in (cpu, device))
            share = agreement(expected, found)
            text = (
                f"weights of {precision}, {name}: {'none' if share is None else f'{share:.2%}'} of the CPU's "
                f"{sum(map(len, expected))} detections in {len(files)} images are within {TOLERANCE_PX} pixels"
            )
            is_equal = share is None or share > 0.97 or name == "as torch sets it"
            yield Observation(text, is_equal, {} if share is None else {"share": share})


def twins(setup: Setup) -> Iterator[Observation]:
    """Run the same 20 steps twice, and once interrupted after 10 and resumed: are the weights the same bits?"""
    first = _run(setup, "first")
    text, between_runs = compare_weights(first, _run(setup, "second"))
    yield Observation(f"a second run: {text}", setup.device == "cuda" or not between_runs, {"second": between_runs})
    text, difference = compare_weights(first, _run_interrupted(setup))
    # A GPU promises no bits, but a resumed run is as near as a second one; without the optimizer's state it is not.
    limit = 5 * between_runs + 1e-3 if setup.device == "cuda" else 0.0
    yield Observation(f"a resumed run: {text}", difference <= limit, {"resumed": difference})


def deterministic(setup: Setup) -> Iterator[Observation]:
    """Run twice with torch's deterministic algorithms; list what it warns of."""
    with warnings.catch_warnings(record=True) as caught, _deterministic():
        warnings.simplefilter("always")
        first, second = _run(setup, "deterministic-1"), _run(setup, "deterministic-2")
    text, _ = compare_weights(first, second)
    yield Observation(f"deterministic algorithms where torch has them: {text}")
    messages = Counter(str(warning.message).split(". ")[0][:160] for warning in caught)
    for message, count in messages.most_common(12):
        yield Observation(f"warned {count} times: {message}")


def deterministic_with_bags(setup: Setup) -> Iterator[Observation]:
    """Run twice with deterministic algorithms and RoIAlign as an embedding bag, whose gradients have an order."""

    def bag(maps: Tensor, boxes: list[Tensor], size: tuple[int, int], scale: float, ratio: int, half: bool) -> Tensor:
        return roi._roi_align_embedding_bag(maps, boxes, size[0], scale, ratio, half)

    with ExitStack() as stack:
        stack.enter_context(_deterministic())
        stack.enter_context(mock.patch("torchvision.ops.roi_align", bag))
        first, second = _run(setup, "bags-1"), _run(setup, "bags-2")
    text, difference = compare_weights(first, second)
    yield Observation(f"with embedding bags: {text}", numbers={"difference": difference})


@contextmanager
def _deterministic() -> Iterator[None]:
    """Use deterministic algorithms where torch has them, and warn where it has none.

    torchvision then has a RoIAlign of its own, which it compiles; not here, for that takes minutes.
    """
    os.environ.update({"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "TORCHDYNAMO_DISABLE": "1"})
    torch.use_deterministic_algorithms(True, warn_only=True)
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.deterministic = before


def _changes(setup: Setup) -> list[str]:
    half = 2 if setup.small else 10
    return [f"train.steps={2 * half}", f"train.log_every={half}", f"train.checkpoint_every={half}"]


def _run(setup: Setup, name: str) -> Mapping[str, Tensor]:
    train(shapes_config(setup, changes=_changes(setup)), setup.work / name, QUIET)
    return load_checkpoint(setup.work / name / "last.pt").weights


def _run_interrupted(setup: Setup) -> Mapping[str, Tensor]:
    """Return the weights of a run that gets SIGTERM when it logs its first row, in the middle, and is resumed."""
    folder = setup.work / "resumed"
    with mock.patch.object(RunFolder, "add_metrics", side_effect=lambda _: signal.raise_signal(signal.SIGTERM)):
        try:
            train(shapes_config(setup, changes=_changes(setup)), folder, QUIET)
        except Interrupted:
            pass
        else:
            raise AssertionError("the run was expected to be interrupted")
    assert load_checkpoint(folder / "last.pt").step == (2 if setup.small else 10)
    resume(folder, QUIET)
    return load_checkpoint(folder / "last.pt").weights


def compare_weights(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> tuple[str, float]:
    """Return a sentence, and the norm of the difference of all weights relative to the norm of ``first``."""
    floats = [name for name in first if first[name].is_floating_point()]
    different = [name for name in floats if not torch.equal(first[name], second[name])]
    change = sum(float((first[name].double() - second[name].double()).square().sum()) for name in different)
    relative = (change / sum(float(first[name].double().square().sum()) for name in floats)) ** 0.5
    text = f"{len(different)} of {len(floats)} tensors differ"
    return (f"{text}, all weights by {relative:.1e} of their norm" if different else f"{text}: same bits"), relative
