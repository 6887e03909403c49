"""What R-CNN's crops will cost, said before it is spent: each of an image's 2,000 is a pass of the body."""

from __future__ import annotations

import time

import torch

from detect.data.annotations import Annotations
from detect.models.detector import Detector
from detect.models.regions.warped_crops import WarpedCrops
from detect.ops.parallel import FITTING
from detect.system.device import Compute
from detect.training.context import Work
from detect.training.setup import loop_rule
from detect.training.task import lesson_of
from detect.types import Images

_BACKWARD = 2.0  # passes forward that a pass back costs: a product for the weights and one for the maps


def say_crops(work: Work, network: Work, detector: Detector) -> None:
    """How many crops each stage looks at, of which side, and how long that takes at the rate of this machine.

    Nothing for a detector that shares its maps.
    """
    if not isinstance(detector.regions, WarpedCrops):
        return
    seconds, side, kinds = seconds_per_crop(detector, work.compute), detector.regions.side, []
    for what, crops, passes in (
        ("to train the network on", trained_crops(network), 1.0 + _BACKWARD),
        ("for features", looked_at(work, work.train, work.config.model.search.train_number), 1.0),
        ("to validate", looked_at(work, work.val, work.config.model.search.test_number), 1.0),
    ):
        if what != "to validate" or work.config.train.validate_every is not None:
            kinds.append(f"{crops} {what} ({told_time(crops * passes * seconds)})")
    work.say(
        f"crops of {side} x {side} pixels, {1000 * seconds:.2g} ms each on this machine: {', '.join(kinds)}; "
        "fewer or smaller ones by model.crop.side, model.search.train_number, train.steps"
    )


@torch.inference_mode()
def seconds_per_crop(detector: Detector, compute: Compute) -> float:
    """Body and head forward, measured on as many crops as keep every core busy once."""
    detector.eval()
    device, number = compute.device, FITTING * torch.get_num_threads()
    images = Images(torch.zeros(1, 3, 256, 256, device=device), ((256, 256),), (0,))
    boxes = torch.tensor([[16.0, 16.0, 200.0, 200.0]], device=device).repeat(number, 1)
    for _ in range(2):  # the first one prepares
        start = time.perf_counter()
        with compute.autocast():
            logits, _ = detector.head(detector.regions(images, (), [boxes]))
        logits.sum().item()  # waits for the device
    return (time.perf_counter() - start) / number


def trained_crops(network: Work) -> int:
    """Regions that all steps of the network's training draw."""
    head, train = network.config.model.head, network.config.train
    lesson = lesson_of(network)
    steps = loop_rule(network.config, lesson.batches_per_epoch(len(network.train))).steps
    return steps * train.accumulate * head.number * (1 if head.sampling == "uniform" else train.batch_size)


def looked_at(work: Work, images: Annotations, number: int) -> int:
    """Proposals of these images, at most ``number`` of each; an image that cannot be read has none."""
    assert work.given is not None
    count = 0
    for file in {images.file(index) for index in range(len(images))}:
        try:
            count += len(work.given[file][0][:number])
        except KeyError:
            continue
    return count


def told_time(seconds: float) -> str:
    """In seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
