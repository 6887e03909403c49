#!/usr/bin/env python3
"""Compare our TIDE error types and their costs with those of the tidecv package, on the same detections.

    python3 -m venv TIDE && TIDE/bin/pip install tidecv
    tools/check_tide.py --root VOC2007 --split LIST --results predictions.json --tide-python TIDE/bin/python

tidecv installs an opencv wheel that would overwrite the one of this environment: it runs in another interpreter.
Difficult objects are ignore regions for tidecv; its counts include the detections in those. The exit status is 1 if a
dAP (in percent, as tidecv prints it) differs by more than 1e-9, or a count by any number.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detect.data.annotations import Annotations
from detect.data.formats.voc import read_voc
from detect.evaluation.analysis.error_costs import compute_dap
from detect.evaluation.analysis.error_types import ERROR_TYPES, classify_errors
from detect.evaluation.predictions import Prediction, align
from detect.inference.result_readers import read_json
from detect.system.numbers import largest

TOLERANCE = 1e-9
Metrics = dict[str, float | None]

# Runs in the other interpreter. Input: rows as JSON. Output: its metrics as JSON.
_TIDECV = """
import json, sys
from tidecv import TIDE
from tidecv.data import Data

truth, detections = Data("truth"), Data("detections")
request = json.load(sys.stdin)
for label, name in enumerate(request["classes"], 1):
    truth.add_class(label, name)
for image in range(request["images"]):
    truth.add_image(image, str(image))
for image, label, box, ignore in request["truth"]:
    (truth.add_ignore_region if ignore else truth.add_ground_truth)(image, label, box)
for image, label, box, score in request["detections"]:
    detections.add_detection(image, label, score, box)
tide = TIDE()
run = tide.evaluate(truth, detections, mode=TIDE.BOX)
name = next(iter(tide.runs))
counts = {kind.short_name: count for kind, count in run.count_errors().items()}
json.dump({"mAP": run.ap, "main": tide.get_main_errors()[name], "special": tide.get_special_errors()[name],
           "counts": counts}, sys.stdout)
"""
_NAMES = dict(zip(("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"), ERROR_TYPES, strict=True))
_SPECIAL = {"FalsePos": "false_positives", "FalseNeg": "false_negatives"}


def main() -> None:
    """Print our metrics beside those of tidecv, and the largest difference."""
    options = _options()
    annotations = read_voc(options.root, options.split, None)
    predictions = align(annotations, read_json(options.results, annotations.classes))
    ours, theirs = (
        compute_our_metrics(annotations, predictions),
        compute_tidecv_metrics(annotations, predictions, options.tide_python),
    )
    print(f"{len(annotations)} images, {len(annotations.boxes)} objects, {sum(map(len, predictions))} detections")
    print(f"{'':24}{'ours':>18}{'tidecv':>18}")
    for name, metric in theirs.items():
        print(f"{name:24}{_format(ours[name]):>18}{_format(metric):>18}")
    difference = largest_difference(ours, theirs)
    print(f"largest difference: {difference:.1e}")
    sys.exit(0 if difference <= TOLERANCE else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="VOC2007 folder")
    parser.add_argument("--split", default="val", help="name of a list in ImageSets/Main")
    parser.add_argument("--results", type=Path, required=True, help="a predictions.json of detect")
    parser.add_argument("--tide-python", type=Path, required=True, help="interpreter that has tidecv")
    return parser.parse_args()


def compute_our_metrics(annotations: Annotations, predictions: Sequence[Prediction]) -> Metrics:
    """Compute our mAP, each dAP in percent, and each count."""
    errors = classify_errors(annotations, predictions)
    costs = compute_dap(errors)
    fractions = {
        "mAP": costs.mAP,
        **{f"dAP {kind}": fraction for kind, fraction in costs.dap_by_type.items()},
        "dAP false_positives": costs.dap_false_positives,
        "dAP false_negatives": costs.dap_false_negatives,
    }
    count_by_kind = np.bincount(errors.error_types[errors.error_types >= 0], minlength=len(ERROR_TYPES)).tolist()
    counts = dict(zip(ERROR_TYPES, count_by_kind, strict=True)) | {"missed": costs.counts["missed"]}
    percent: Metrics = {name: None if fraction is None else 100 * fraction for name, fraction in fractions.items()}
    return percent | {f"count {kind}": count for kind, count in counts.items()}


def compute_tidecv_metrics(annotations: Annotations, predictions: Sequence[Prediction], python: Path) -> Metrics:
    """Compute the same metrics with the tidecv package in the interpreter ``python``."""
    request = {
        "classes": annotations.classes,
        "images": len(annotations),
        "truth": [row for image in range(len(annotations)) for row in _truth_rows(annotations, image)],
        "detections": [
            row for image, prediction in enumerate(predictions) for row in _detection_rows(prediction, image)
        ],
    }
    process = subprocess.run([python, "-c", _TIDECV], input=json.dumps(request), stdout=subprocess.PIPE, text=True)
    if process.returncode:
        sys.exit(f"{python}: expected tidecv's metrics, found exit status {process.returncode}")
    output = json.loads(process.stdout)
    return {
        "mAP": output["mAP"],
        **{f"dAP {_NAMES[name]}": metric for name, metric in output["main"].items()},
        **{f"dAP {_SPECIAL[name]}": metric for name, metric in output["special"].items()},
        **{f"count {_NAMES[name]}": count for name, count in output["counts"].items()},
    }


def _truth_rows(annotations: Annotations, index: int) -> list[list[Any]]:
    image = annotations[index]
    rows = zip(image.labels.tolist(), image.boxes.tolist(), (image.difficult | image.crowd).tolist(), strict=True)
    return [[index, label, _to_xywh(box), ignore] for label, box, ignore in rows]


def _detection_rows(prediction: Prediction, index: int) -> list[list[Any]]:
    rows = zip(prediction.labels.tolist(), prediction.boxes.tolist(), prediction.scores.tolist(), strict=True)
    return [[index, label, _to_xywh(box), score] for label, box, score in rows]


def _to_xywh(box: Sequence[float]) -> list[float]:
    """Convert a box from x1 y1 x2 y2 to x y width height."""
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - x1, y2 - y1]


def largest_difference(ours: Metrics, theirs: Metrics) -> float:
    """Return the largest absolute difference; infinite if only one of the two has a metric."""
    differences = [0.0]
    for name in {*ours, *theirs}:
        a, b = ours.get(name), theirs.get(name)
        if a is None or b is None:
            differences.append(0.0 if a is b else float("inf"))
        else:
            differences.append(abs(a - b))
    return largest(differences)


def _format(metric: float | None) -> str:
    return "-" if metric is None else f"{metric:.10g}"


if __name__ == "__main__":
    main()
