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
from detect.explain.trace.record import record, replay
from detect.explain.trace.trace import trace
from detect.inference.find_images import find_images
from detect.inference.predictor import load
from detect.types import Detections, to_device


def same(found: Detections, again: Detections) -> int:
    """How many detections have the same box, score and label to the last bit; 0 where their numbers differ."""
    if len(found) != len(again):
        return 0
    boxes = (found.boxes.cpu() == again.boxes).all(1)
    return int((boxes & (found.scores.cpu() == again.scores) & (found.labels.cpu() == again.labels)).sum())


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 where a detection differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--number", type=int, default=1000)
    wish = parser.parse_args(arguments)
    predictor = load(wish.model)
    compared = equal = image_files = 0
    for image in find_images(wish.images):
        images = to_device(predictor.prepared(read_image(image)), predictor.compute.device)
        with torch.inference_mode(), predictor.compute.autocast():
            (found,) = predictor.single.detect(images)
            (traced,) = trace(predictor.single, images)
        written = json.dumps(record(traced, predictor.single))
        compared, equal, image_files = (
            compared + len(found),
            equal + same(found, replay(json.loads(written))),
            image_files + 1,
        )
        if compared >= wish.number:
            break
    print(f"{equal} of {compared} detections in {image_files} images are the same bits")
    return 0 if equal == compared else 1


if __name__ == "__main__":
    sys.exit(main())
