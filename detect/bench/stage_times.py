"""Measures the time of each stage of detection: the parts of a detector, and the steps before them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import nn

from detect.data.images import read_image
from detect.inference.predictor import Predictor


@dataclass(frozen=True)
class StageTimes:
    """The seconds of each stage for one image.

    search: of detectors with precomputed proposals; proposals: of the others; regions, head: sums over the stages of a
    cascade; masks: 0 without a mask head.
    """

    decode: float
    search: float
    transform: float
    backbone: float
    proposals: float
    regions: float
    head: float
    postprocess: float
    masks: float

    @property
    def total(self) -> float:
        """Return the sum over all stages."""
        return float(sum(astuple(self)))


STAGES = tuple(field.name for field in fields(StageTimes))


@torch.inference_mode()
def time_stages(predictor: Predictor, files: Sequence[Path]) -> StageTimes:
    """Return the medians over images, one at a time; the first image runs once more before, untimed."""
    times = [_time_image(predictor, file) for file in (files[0], *files)]
    return StageTimes(*np.median([astuple(stages) for stages in times[1:]], axis=0).tolist())


def _time_image(predictor: Predictor, file: Path) -> StageTimes:
    detector, timestamps = predictor.base_detector, [time.perf_counter()]

    def synchronized_time() -> float:
        if predictor.compute.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def end_stage() -> None:
        timestamps.append(synchronized_time())

    rgb = read_image(file)
    end_stage()
    precomputed = None if predictor.proposal_search is None else predictor.proposal_search.search(rgb)
    end_stage()
    images = predictor.preprocess_image(rgb, precomputed).to(predictor.compute.device)
    end_stage()
    with predictor.compute.autocast():
        maps = detector.backbone(images.pixels)
        end_stage()
        (proposals,) = detector.proposer(images, maps, detector.test_selection).proposals
        end_stage()
        with _recorded_calls(detector.get_submodule("regions"), synchronized_time) as edges:
            outputs = detector.run_head(images, maps, (proposals,))
        end_stage()
        boxes = detector.postprocess(outputs.proposals[0], outputs.logits[0], outputs.deltas[0], images.sizes[0])
        end_stage()
        detector.predict_masks(images, maps, [boxes])
        end_stage()
    *before, head, postprocess, masks = np.diff(timestamps).tolist()
    regions = sum(edges[1::2]) - sum(edges[::2])
    return StageTimes(*[*before, regions, head - regions, postprocess, masks])


@contextmanager
def _recorded_calls(module: nn.Module, clock: Callable[[], float]) -> Iterator[list[float]]:
    """Yield a list that gets the time before and after each call of ``module``."""
    edges: list[float] = []
    hooks = (
        module.register_forward_pre_hook(lambda *_: edges.append(clock())),
        module.register_forward_hook(lambda *_: edges.append(clock())),
    )
    yield edges
    for hook in hooks:
        hook.remove()
