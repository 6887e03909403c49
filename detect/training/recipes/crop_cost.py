"""Estimate the cost of R-CNN's crops before the training: each of an image's 2,000 is a pass of the body."""

from __future__ import annotations

import time

import torch

from detect.data.annotations import Annotations
from detect.models.detector import Detector
from detect.ops.parallel import CACHE_ROWS
from detect.system.device import ComputeConfig
from detect.training.context import RunContext
from detect.training.setup import loop_config
from detect.training.task import default_task
from detect.types import Images

_BACKWARD = 2.0  # cost of a backward pass in forward passes: a product for the weights and one for the maps


def log_crop_cost(context: RunContext, network_context: RunContext, detector: Detector) -> None:
    """Log how many crops each stage runs, their size, and how long that takes at the speed of this machine.

    Logs nothing for a detector whose regions share the feature maps of the image.
    """
    crop_size = detector.feature_network().input_size
    if crop_size is None:
        return
    seconds, costs = seconds_per_crop(detector, context.compute), []
    for purpose, crops, passes in (
        ("to train the network on", count_training_crops(network_context), 1.0 + _BACKWARD),
        ("for features", count_crops(context, context.train, context.config.model.search.train_top_n), 1.0),
        ("to validate", count_crops(context, context.val, context.config.model.search.test_top_n), 1.0),
    ):
        if purpose != "to validate" or context.config.train.validate_every is not None:
            costs.append(f"{crops} {purpose} ({format_duration(crops * passes * seconds)})")
    context.log(
        f"crops of {crop_size[1]} x {crop_size[0]} pixels, {1000 * seconds:.2g} ms each on this machine: "
        f"{', '.join(costs)}; fewer or smaller ones by model.crop.size, model.search.train_top_n, train.steps"
    )


@torch.inference_mode()
def seconds_per_crop(detector: Detector, compute: ComputeConfig) -> float:
    """Return the seconds that body and head take per crop, measured on as many as keep every core busy once."""
    detector.eval()
    (stage,) = detector.head.stages
    device, num_crops = compute.device, CACHE_ROWS * torch.get_num_threads()
    images = Images(torch.zeros(1, 3, 256, 256, device=device), ((256, 256),), (0,))
    boxes = torch.tensor([[16.0, 16.0, 200.0, 200.0]], device=device).repeat(num_crops, 1)
    for _ in range(2):  # the first pass is a warm-up
        start = time.perf_counter()
        with compute.autocast():
            logits, _ = stage(detector.regions(images, (), [boxes]))
        logits.sum().item()  # waits for the device
    return (time.perf_counter() - start) / num_crops


def count_training_crops(network_context: RunContext) -> int:
    """Return the number of regions that all steps of the network's training draw."""
    head, train = network_context.config.model.head, network_context.config.train
    task = default_task(network_context)
    steps = loop_config(network_context.config, task.batches_per_epoch(len(network_context.train))).steps
    return steps * train.accumulate * head.batch_size_per_image * (1 if head.sampling == "global" else train.batch_size)


def count_crops(context: RunContext, images: Annotations, max_per_image: int) -> int:
    """Return the number of proposals of these images, at most ``max_per_image`` of each; unreadable ones have none."""
    assert context.proposals is not None
    count = 0
    for file in {images.file(index) for index in range(len(images))}:
        try:
            count += len(context.proposals[file][0][:max_per_image])
        except KeyError:
            continue
    return count


def format_duration(seconds: float) -> str:
    """Format a duration in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
