"""Are detections computed again from their written trace the same bits? Prints how many are, and fails if one is not.

    python tools/check_trace.py MODEL IMAGE... [--number 1000]

Stops when so many detections were compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import torch

from detect.data.images import read_image
from detect.explain.trace.record import to_record, recompute
from detect.explain.trace.trace import trace
from detect.inference.find_images import find_images
from detect.inference.predictor import load
from detect.types import Detections


def count_equal(detections: Detections, recomputed: Detections) -> int:
    """How many detections have the same box, score and label to the last bit; 0 where their numbers differ."""
    if len(detections) != len(recomputed):
        return 0
    boxes = (detections.boxes.cpu() == recomputed.boxes).all(1)
    return int((boxes & (detections.scores.cpu() == recomputed.scores) & (detections.labels.cpu() == recomputed.labels)).sum())


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 where a detection differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--number", type=int, default=1000)
    options = parser.parse_args(arguments)
    predictor = load(options.model)
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
