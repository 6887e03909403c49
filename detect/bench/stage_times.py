"""Where the time of an image goes: the five slots, and what is before them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import torch

from detect.data.images import read_image
from detect.inference.predictor import Predictor


@dataclass(frozen=True)
class StageTimes:
    """Seconds an image. search: of the detectors that are given their proposals; proposals: of the others."""

    decode: float
    search: float
    transform: float
    backbone: float
    proposals: float
    regions: float
    head: float
    postprocess: float

    @property
    def total(self) -> float:
        """All of them."""
        return float(sum(astuple(self)))


STAGES = tuple(field.name for field in fields(StageTimes))


@torch.inference_mode()
def time_stages(predictor: Predictor, files: Sequence[Path]) -> StageTimes:
    """Medians over images looked at one at a time, after a first one that does not count."""
    rounds = [_time_image(predictor, file) for file in (files[0], *files)]
    return StageTimes(*np.median([astuple(parts) for parts in rounds[1:]], axis=0).tolist())


def _time_image(predictor: Predictor, file: Path) -> StageTimes:
    detector, marks = predictor.base_detector, [time.perf_counter()]

    def mark() -> None:
        if predictor.compute.device.type == "cuda":
            torch.cuda.synchronize()
        marks.append(time.perf_counter())

    rgb = read_image(file)
    mark()
    given = None if predictor.proposal_search is None else predictor.proposal_search.search(rgb)
    mark()
    images = predictor.preprocess_image(rgb, given).to(predictor.compute.device)
    mark()
    with predictor.compute.autocast():
        maps = detector.backbone(images.pixels)
        mark()
        (proposals,) = detector.proposer(images, maps, detector.test_selection).proposals
        mark()
        regional = detector.regions(images, maps, [proposals.boxes])
        mark()
        logits, deltas = detector.head(regional)
        mark()
        detector.postprocess(proposals, logits, deltas, images.sizes[0])
        mark()
    return StageTimes(*np.diff(marks).tolist())
