"""Part 1: operations give on the GPU what they give on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from detect.bench.random_model import make_bench_model
from detect.ops.anchors import AnchorGenerator
from detect.ops.matching import Matcher, sample_each_image, sample_in_one_read
from detect.ops.nms import nms
from detect.ops.roi import _roi_align_embedding_bag, roi_align, roi_pool
from detect.system import randomness
from detect.system.device import select_device
from detect.training.setup import build_train_state
from detect.types import Targets
from tools.cuda_checks.inputs import SMALL_NETWORK, exact_float32, in_precision, make_batch, random_images
from tools.cuda_checks.records import Observation, Setup

SIDE = 800.0  # of the images that the random boxes lie in


def random_boxes(count: int, seed: int) -> Tensor:
    """Return boxes (count, 4) of all sizes in an image of SIDE; every tenth is equal to the one before it."""
    generator = torch.Generator().manual_seed(seed)
    sides = torch.rand(count, 2, generator=generator) * 200 + 4
    corners = torch.rand(count, 2, generator=generator) * (SIDE - sides)
    boxes = torch.cat([corners, corners + sides], 1)
    boxes[1::10] = boxes[::10][: len(boxes[1::10])]
    return boxes


def largest_difference(first: Any, second: Any) -> float:
    """Return the largest absolute difference of the tensors of two trees; infinite where the shapes differ."""
    pairs = zip(tree_leaves(first), tree_leaves(second), strict=True)
    differences = [
        float((a.detach().cpu().double() - b.detach().cpu().double()).abs().max()) if a.shape == b.shape else torch.inf
        for a, b in pairs
        if a.numel() or b.numel()
    ]
    return max(differences, default=0.0)


def exact_operations(setup: Setup) -> Iterator[Observation]:
    """Compare what must be the same to the bit: keyed randomness, anchors, matching, sampling, NMS."""
    device = setup.compute().device
    for name, run in _exact_cases().items():
        difference = largest_difference(run(torch.device("cpu")), run(device))
        yield Observation(
            f"{name}: largest difference {difference:g}", difference == 0.0, {"name": name, "difference": difference}
        )


def _exact_cases() -> dict[str, Callable[[torch.device], Any]]:
    anchors = AnchorGenerator(((32.0, 64.0),), (0.5, 1.0, 2.0))
    targets = Targets(
        random_boxes(12, 1), torch.arange(12) % 5 + 1, torch.zeros(12).bool(), torch.tensor([False] * 11 + [True])
    )
    boxes, empty = random_boxes(4000, 2), replace(targets, **{name: getattr(targets, name)[:0] for name in FIELDS})
    matcher = Matcher(0.5, (0.1, 0.4), True)
    scores = torch.rand(4000, generator=torch.Generator().manual_seed(3)).mul(50).round() / 50  # many ties
    groups = torch.arange(4000) % 7

    def matched(device: torch.device) -> list[Tensor]:
        return [matcher.match(boxes.to(device), target.to(device)) for target in (targets, empty)]

    def sampled(device: torch.device) -> Any:
        # The two ways of sampling draw the same: a CPU's, and the one for GPUs.
        sample = sample_each_image if device.type == "cpu" else sample_in_one_read
        return [
            [part.sort().values for part in image] for image in sample(matched(device), 128, 0.25, [5, 6], "regions")
        ]

    return {
        "randomness.uniform": lambda device: randomness.uniform(70_000, device, 3, "anchors"),
        "anchors": lambda device: anchors.grid_anchors(0, (50, 68), 16, device),
        "matching": matched,
        "sampling": sampled,
        "nms": lambda device: nms(boxes[:1000].to(device), scores[:1000].to(device), 0.5),
        "nms in groups": lambda device: nms(boxes.to(device), scores.to(device), 0.5, groups.to(device)),
        "nms of nothing": lambda device: nms(boxes[:0].to(device), scores[:0].to(device), 0.5, groups[:0].to(device)),
    }


FIELDS = ("boxes", "labels", "difficult", "crowd")


def many_boxes(setup: Setup) -> Iterator[Observation]:
    """Time NMS of as many boxes as SVM scores give, on both sides of the number from which groups go one by one."""
    device = setup.compute().device
    for count in (2_000, 3_000) if setup.small else (20_000, 30_000):
        boxes, groups = random_boxes(count, 4), torch.arange(count) % 20
        scores = torch.rand(count, generator=torch.Generator().manual_seed(5))
        expected, on_device = nms(boxes, scores, 0.3, groups), [part.to(device) for part in (boxes, scores, groups)]
        if setup.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        nms(on_device[0], on_device[1], 0.3, on_device[2])
        setup.synchronize()
        started = time.perf_counter()
        stay = nms(on_device[0], on_device[1], 0.3, on_device[2])
        setup.synchronize()
        seconds = time.perf_counter() - started
        mib = torch.cuda.max_memory_allocated() / 2**20 if setup.device == "cuda" else 0.0
        same = torch.equal(expected, stay.cpu())
        text = f"nms of {count} boxes in 20 groups: {seconds * 1000:.1f} ms, {mib:.0f} MiB, equal to the CPU's: {same}"
        yield Observation(text, same, {"boxes": count, "seconds": seconds, "mib": mib})


def pooling(setup: Setup) -> Iterator[Observation]:
    """Compare RoIAlign with its embedding bag, forward and backward, and RoIPool with the CPU's."""
    device = setup.compute().device
    maps = torch.randn(2, 8 if setup.small else 64, 50, 50, generator=torch.Generator().manual_seed(6))
    boxes = [random_boxes(60, 7), random_boxes(40, 8)]

    def run(pool: Callable[..., Tensor], where: torch.device) -> list[Tensor]:
        leaf = maps.to(where).requires_grad_()
        pooled = pool(leaf, [part.to(where) for part in boxes], 7, 1 / 16)
        torch.autograd.backward((pooled * torch.arange(7, device=where)).sum())
        assert leaf.grad is not None
        return [pooled, leaf.grad]

    def bag(leaf: Tensor, parts: list[Tensor], size: int, scale: float) -> Tensor:
        return _roi_align_embedding_bag(leaf, parts, size, scale, 2, True)

    cpu = torch.device("cpu")
    for name, first, second in (
        ("roi_align against the embedding bag of the CPU", run(roi_align, device), run(bag, cpu)),
        ("the embedding bag on the device against that of the CPU", run(bag, device), run(bag, cpu)),
        ("roi_pool against the CPU's", run(roi_pool, device), run(roi_pool, cpu)),
    ):
        forward, backward = (largest_difference(a, b) for a, b in zip(first, second, strict=True))
        scale = float(second[1].abs().max())
        text = f"{name}: {forward:.1e} in values of 1, {backward:.1e} in gradients of up to {scale:.0f}"
        yield Observation(text, forward < 1e-4 and backward < 1e-5 * max(scale, 1.0))


def gradients_of_the_rpn(setup: Setup) -> Iterator[Observation]:
    """Run a step of R18-FPN in every precision: the RPN gets gradients, though it runs under autocast.

    torch before a fix of December 2025 kept weights that were cast without gradients.
    """
    images = random_images(2)
    model = make_bench_model(SMALL_NETWORK, 10, images)
    for precision in setup.precisions:
        config, compute = in_precision(model.config, precision), setup.compute(precision)
        state = build_train_state(config, model.detector().to(compute.device).train())
        batch = make_batch(model.preprocess, images, 10)
        with compute.autocast():
            losses = state.detector(
                batch.images.to(compute.device), tuple(target.to(compute.device) for target in batch.targets)
            )
        state.scaler.scale(torch.stack([loss.value for loss in losses.values()]).sum()).backward()  # type: ignore[no-untyped-call]
        weights = [weight for name, weight in state.detector.named_parameters() if name.startswith("proposer.")]
        gradients = [weight.grad for weight in weights]
        missing = sum(gradient is None or not bool(gradient.any()) for gradient in gradients)
        text = f"{precision}: {missing} of {len(gradients)} weights of the RPN without a gradient"
        yield Observation(text, missing == 0, {"precision": precision, "missing": missing})


def a_training_step(setup: Setup) -> Iterator[Observation]:
    """Compute the losses and gradients of R18-FPN on the CPU and on the device, from equal weights, in exact float32.

    The draws have keys, so the anchors are the same; one proposal that is suppressed on one device alone moves all
    later ones, and with them the draw of the regions, whose losses may differ more.
    """
    images = random_images(2)
    model = make_bench_model(SMALL_NETWORK, 10, images)
    batch = make_batch(model.preprocess, images, 10)
    losses, gradients = [], []
    for compute in (select_device("cpu", "fp32"), setup.compute()):
        detector = model.detector().to(compute.device).train()
        with exact_float32():
            means = detector(
                batch.images.to(compute.device), tuple(target.to(compute.device) for target in batch.targets)
            )
            torch.autograd.backward(torch.stack([mean.value for mean in means.values()]).sum())
        losses.append({name: float(mean.value.detach()) for name, mean in means.items()})
        gradients.append(
            {name: weight.grad.cpu() for name, weight in detector.named_parameters() if weight.grad is not None}
        )
    for name, loss in losses[0].items():
        difference, limit = abs(losses[1][name] - loss) / max(abs(loss), 1e-6), 1e-2 if name.startswith("rpn") else 0.2
        text = f"{name}: {loss:.4f} on the CPU, {losses[1][name]:.4f} on the device"
        yield Observation(text, difference < limit, {"name": name, "difference": difference})
    norms = [float(torch.stack([gradient.norm() for gradient in each.values()]).norm()) for each in gradients]
    yield Observation(
        f"norm of all gradients: {norms[0]:.4f} on the CPU, {norms[1]:.4f} on the device",
        gradients[0].keys() == gradients[1].keys() and abs(norms[1] / norms[0] - 1) < 0.1,
    )
