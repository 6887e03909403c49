"""Part 7: the other generations and networks, from training to detections."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from detect.checkpoints.checkpoint import load_checkpoint
from detect.training.run import train
from tools.cuda_checks.inputs import QUIET, proposal_file, shapes_config
from tools.cuda_checks.records import Observation, Setup

FEW_REGIONS = [
    "model.rpn.post_nms_top_n_train=100",
    "model.rpn.post_nms_top_n_test=30",
    "model.head.batch_size_per_image=32",
]
SVMS = ["train.recipe=rcnn", "model.classifier=svm"]


def rcnn_with_svms(setup: Setup) -> Iterator[Observation]:
    """Train R-CNN: crops, then SVMs and box regressors on their features."""
    yield _train(setup, "rcnn.yaml", "fp32", [f"model.proposals={proposal_file(setup)}", *SVMS], "svm")


def rcnn_with_a_softmax(setup: Setup) -> Iterator[Observation]:
    """Train R-CNN in bf16 with the fine-tuned classifier, and box regressors."""
    changes = [f"model.proposals={proposal_file(setup)}", "train.recipe=rcnn", "model.classifier=softmax"]
    yield _train(setup, "rcnn.yaml", "bf16", changes, "softmax")


def fast_rcnn(setup: Setup) -> Iterator[Observation]:
    """Train Fast R-CNN, whose regions are pooled by RoIPool, in every precision."""
    for precision in setup.precisions:
        yield _train(setup, "fast_rcnn.yaml", precision, [f"model.proposals={proposal_file(setup)}"], precision)


def fast_rcnn_with_svms(setup: Setup) -> Iterator[Observation]:
    """Train Fast R-CNN with SVMs."""
    yield _train(setup, "fast_rcnn.yaml", "fp32", [f"model.proposals={proposal_file(setup)}", *SVMS], "svm")


def spatial_transformer(setup: Setup) -> Iterator[Observation]:
    """Train with a spatial transformer in the head."""
    yield _train(setup, "faster_rcnn.yaml", "bf16", ["model.head.transform=spatial_transformer"], "transformer")


def alternating(setup: Setup) -> Iterator[Observation]:
    """Train in the four steps of the paper."""
    yield _train(setup, "faster_rcnn.yaml", "fp32", ["train.recipe=alternating"], "alternating")


def last_stage_in_the_head(setup: Setup) -> Iterator[Observation]:
    """Train ResNet-18 with its last stage in the head (C4) and with a dilated one (DC5)."""
    network = ["model.backbone.name=resnet18", "model.backbone.weights=null", "model.rpn.channels=32", *FEW_REGIONS]
    shapes = ["data.format=shapes", "data.train=train", "data.val=val", "data.workers=0"]
    sizes = ["data.min_size=112", "data.max_size=160", "train.batch_size=4", "train.lr=1e-3"]
    for name in ("c4", "dc5"):
        yield _train(setup, f"coco/faster_rcnn_r50_{name}.yaml", "fp32", [*network, *shapes, *sizes], name)


def _train(setup: Setup, file: str, precision: str, changes: Sequence[str], name: str) -> Observation:
    """Train 10 steps and all that follows, with a validation at the end."""
    steps, images = (2, 8) if setup.small else (10, 48)
    lengths = [f"train.steps={steps}", f"data.train_images={images}", "train.validate_every=1000"]
    config = shapes_config(setup, file, [*lengths, f"train.precision={precision}", *changes])
    started = time.perf_counter()
    trained = train(config, setup.work / f"{Path(file).stem}-{name}", QUIET)
    seconds = time.perf_counter() - started
    weights = load_checkpoint(trained.folder / "best.pt").weights.values()
    finite = all(bool(weight.isfinite().all()) for weight in weights)
    score = None if trained.score is None else trained.score.primary
    text = f"{file} ({name}, {precision}): {seconds:.1f} s; weights are finite: {finite}, {score=}"
    return Observation(text, finite and score is not None, {"name": name, "seconds": seconds})
