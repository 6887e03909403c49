"""Makes a trained detector faster where it only detects."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from detect.models.backbones.frozen_norm import optimize_for_inference
from detect.models.detector import Detector
from detect.models.slots import OutputLayer


def optimize_detector(detector: Detector, dtype: torch.dtype) -> None:
    """Fuse the normalizations of a detector in evaluation, and give its layers the type ``dtype``, in place.

    Its output layers keep their type: see ``output_in_float32``.
    """
    outputs = [layer for layers in output_layers(detector) for layer in layers.values()]
    optimize_for_inference(detector, dtype, unchanged=outputs)


def output_layers(detector: Detector) -> list[Mapping[str, OutputLayer]]:
    """Return the last layers of the proposer and of each stage of the head, by their names."""
    return [detector.proposer.output_layers(), *(stage.output_layers() for stage in detector.head.stages)]
