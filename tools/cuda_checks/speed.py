"""Part 5: milliseconds and memory of a training step of R50-FPN at 800 pixels, beside torchvision's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from detect.bench.random_model import BenchModel
from detect.bench.timing import time_interleaved, timed, wait_for_gpu
from detect.bench.torchvision_peer import to_torchvision_images, to_torchvision_targets, torchvision_reference
from detect.bench.training import make_step, random_targets
from detect.config import Precision
from detect.data.loading.collate import Batch
from detect.training.setup import build_train_state
from tools.cuda_checks.inputs import bench_model, in_precision, make_batch, make_targets, random_images, run_steps
from tools.cuda_checks.records import Observation, Setup

WARMUP = 4  # steps before the first that counts: cuDNN chooses its kernels in them
OPERATIONS = 15  # of the profile


def steps_of_one_image(setup: Setup) -> Iterator[Observation]:
    """Time steps of one image in each precision."""
    yield from _all_precisions(setup, 1)


def steps_of_two_images(setup: Setup) -> Iterator[Observation]:
    """Time steps of two images in each precision."""
    yield from _all_precisions(setup, 2)


def steps_of_eight_images(setup: Setup) -> Iterator[Observation]:
    """Time steps of eight images in each precision."""
    yield from _all_precisions(setup, 2 if setup.small else 8)


def _all_precisions(setup: Setup, count: int) -> Iterator[Observation]:
    model, images = bench_model(setup), random_images(count)
    for precision in setup.precisions:
        yield _our_step(setup, model, images, precision)
    for precision in setup.precisions[:2]:
        yield _their_step(setup, model, images, precision)


def _our_step(setup: Setup, model: BenchModel, images: Sequence[np.ndarray], precision: Precision) -> Observation:
    """Time the loop of ``detect train``: first with targets that change from step to step, then with the same ones.

    The difference is the price of shapes that cuDNN has not seen.
    """
    config, compute = in_precision(model.config, precision), setup.compute(precision)
    state = build_train_state(config, model.detector().to(compute.device))
    num_steps = 2 if setup.small else 30 if len(images) < 8 else 12
    first = _on_device(make_batch(model.preprocess, images, len(model.classes)), compute.device)
    changing = [_with_targets(model, first, images, seed) for seed in range(1, num_steps + 1)]
    _reset_peak(setup)

    def milliseconds(batches: Sequence[Batch]) -> float:
        wait_for_gpu()
        started = time.perf_counter()
        run_steps(config, state, compute, batches, num_steps)
        wait_for_gpu()
        return 1000 * (time.perf_counter() - started) / num_steps

    run_steps(config, state, compute, [first], 1 if setup.small else WARMUP)
    with_changes, with_same = milliseconds(changing), milliseconds([first])
    text = (
        f"detect, {precision}, {len(images)} images: {with_changes:.1f} ms a step, {with_same:.1f} ms with the same "
        f"targets in each, {_peak_gib(setup):.1f} GiB"
    )
    numbers = {"changing_ms": with_changes, "same_ms": with_same, "gib": _peak_gib(setup), "precision": precision}
    return Observation(text, numbers={**numbers, "images": len(images)})


def _on_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on the device: torchvision's images are there too, and loading is measured elsewhere."""
    return replace(batch, images=batch.images.to(device), targets=tuple(target.to(device) for target in batch.targets))


def _with_targets(model: BenchModel, batch: Batch, images: Sequence[np.ndarray], seed: int) -> Batch:
    """Return the batch with other targets and other draws; its pixels stay."""
    device, sizes = batch.images.pixels.device, batch.images.sizes
    targets = make_targets(images, sizes, len(model.classes), seed)
    seeds = tuple(1000 * seed + index for index in range(len(images)))
    return replace(
        batch,
        images=replace(batch.images, seeds=seeds),
        targets=tuple(target.to(device) for target in targets),
    )


def _their_step(setup: Setup, model: BenchModel, images: Sequence[np.ndarray], precision: Precision) -> Observation:
    """Time torchvision's step on images that are on the device already; their resizing is in it, which takes little."""
    compute = setup.compute(precision)
    step = _torchvision_step(setup, model, images, precision)
    _reset_peak(setup)
    timing = time_interleaved({"torchvision": timed(step)}, 2 if setup.small else 12)["torchvision"]
    text = f"torchvision, {compute.dtype}, {len(images)} images: {1000 * timing.median:.1f} ms a step"
    numbers = {"ms": 1000 * timing.median, "gib": _peak_gib(setup), "precision": precision, "images": len(images)}
    return Observation(f"{text}, {_peak_gib(setup):.1f} GiB", numbers=numbers)


def _torchvision_step(
    setup: Setup, model: BenchModel, images: Sequence[np.ndarray], precision: Precision
) -> Callable[[], dict[str, Tensor]]:
    compute = setup.compute(precision)
    reference = torchvision_reference(model).to(compute.device).train()
    pixels = [image.to(compute.device) for image in to_torchvision_images(images)]
    targets = [
        {name: tensor.to(compute.device) for name, tensor in target.items()}
        for target in to_torchvision_targets(random_targets(images, len(model.classes)))
    ]

    def losses() -> dict[str, Tensor]:
        with compute.autocast():
            output: dict[str, Tensor] = reference(pixels, targets)
        return output

    return make_step(reference, losses, fused=setup.device == "cuda")


def profile_of_a_step(setup: Setup) -> Iterator[Observation]:
    """List the operations of one step of ours on which the device spends its time."""
    model, images = bench_model(setup), random_images(2)
    compute = setup.compute()
    state = build_train_state(model.config, model.detector().to(compute.device))
    batch = make_batch(model.preprocess, images, len(model.classes))
    run_steps(model.config, state, compute, [batch], 1 if setup.small else WARMUP)
    on_device = setup.device == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_device else [])]
    with profile(activities=activities) as profiler:
        run_steps(model.config, state, compute, [batch], 1)
        wait_for_gpu()
    events = profiler.key_averages()
    column = "self_device_time_total" if on_device else "self_cpu_time_total"
    slowest = sorted(events, key=lambda event: -float(getattr(event, column)))[:OPERATIONS]
    total = sum(float(getattr(event, column)) for event in events)
    yield Observation(f"a step of 2 images in fp32: {total / 1000:.1f} ms in {sum(e.count for e in events)} operations")
    for event in slowest:
        milliseconds = float(getattr(event, column)) / 1000
        yield Observation(
            f"{milliseconds:.2f} ms in {event.count} calls, {event.self_cpu_time_total / 1000:.2f} ms on the CPU: "
            f"{event.key[:90]}"
        )


def _reset_peak(setup: Setup) -> None:
    if setup.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak_gib(setup: Setup) -> float:
    return torch.cuda.max_memory_allocated() / 2**30 if setup.device == "cuda" else 0.0
