"""Compute detections again from their written trace, on a CPU, and print how many of them have the same bits.

    python tools/check_trace.py MODEL IMAGE... [--number 1000]

A GPU rounds sigmoid, softmax and exp in another way, so the detections of its traces differ in their last bits. Stops
after the image with which --number detections have been compared. The exit status is 1 if one differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import torch

from detect.data.images import read_image
from detect.explain.trace.record import recompute, to_record
from detect.explain.trace.trace import trace
from detect.inference.find_images import find_images
from detect.inference.load import load
from detect.types import Detections


def count_equal(detections: Detections, recomputed: Detections) -> int:
    """Count the detections with the same box, score and label to the last bit; 0 if their numbers differ."""
    if len(detections) != len(recomputed):
        return 0
    boxes = (detections.boxes.cpu() == recomputed.boxes).all(1)
    return int(
        (boxes & (detections.scores.cpu() == recomputed.scores) & (detections.labels.cpu() == recomputed.labels)).sum()
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the detections of the images and return the exit status: 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="run folder, checkpoint, or a name of `detect model zoo`")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="images, folders or globs")
    parser.add_argument("--number", type=int, default=1000, help="minimum number of detections to compare")
    options = parser.parse_args(arguments)
    predictor = load(options.model, "cpu")
    compared = equal = num_images = 0
    for image in find_images(options.images):
        images = predictor.preprocess_image(read_image(image)).to(predictor.compute.device)
        with torch.inference_mode(), predictor.compute.autocast():
            (detections,) = predictor.base_detector.detect(images)
            (traced,) = trace(predictor.base_detector, images)
        written = json.dumps(to_record(traced, predictor.base_detector))
        compared, equal, num_images = (
            compared + len(detections),
            equal + count_equal(detections, recompute(json.loads(written))),
            num_images + 1,
        )
        if compared >= options.number:
            break
    print(f"{equal} of {compared} detections in {num_images} images are the same bits")
    return 0 if equal == compared else 1


if __name__ == "__main__":
    sys.exit(main())
