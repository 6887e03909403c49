"""Measures the time of each stage of detection: the five parts of a detector, and the steps before them."""

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
    """The seconds of each stage for one image.

    search: of detectors with precomputed proposals; proposals: of the others.
    """

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

    def end_stage() -> None:
        if predictor.compute.device.type == "cuda":
            torch.cuda.synchronize()
        timestamps.append(time.perf_counter())

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
        region_maps = detector.regions(images, maps, [proposals.boxes])
        end_stage()
        logits, deltas = detector.head(region_maps)
        end_stage()
        detector.postprocess(proposals, logits, deltas, images.sizes[0])
        end_stage()
    return StageTimes(*np.diff(timestamps).tolist())
