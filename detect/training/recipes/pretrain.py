"""Recipe `pretrain`: train a backbone as a classifier of objects, for networks without published ImageNet weights.

It is R-CNN's network on crops of the objects alone: each object is one region, shifted and stretched a little, and
there is no background. The result is ``weights.pth``, which ``model.backbone.weights`` reads.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config.builders.detector import backbone_weights, build_preprocess
from detect.config.builders.slots import build_proposal_matcher
from detect.data.loading.loader import evaluation_loader
from detect.data.loading.region_sampler import RegionBatchSampler, RegionIndex, index_regions
from detect.data.loading.workers import explain_worker_death
from detect.inference.dataset_pass import DatasetPredictions
from detect.models.detector import Detector
from detect.system import randomness
from detect.system.files import write_bytes
from detect.training.context import RunContext, TrainingResult
from detect.training.initial_model import InitialModel
from detect.training.task import Sampler, TrainingTask
from detect.training.trainer import train_model
from detect.training.validation import ValidationResult

BOXES_PER_OBJECT = 8  # of each object's box, in addition to the box itself
MAX_SHIFT, MAX_STRETCH = 0.1, 0.2  # of its sides, at most: their IoU with the object stays above 0.5


def pretrain(context: RunContext, initial: InitialModel | None = None) -> TrainingResult:
    """Train the classifier, then write the backbone's weights under the names of its publisher to weights.pth."""
    boxes = JitteredBoxes(
        {context.train.file(n): context.train[n].boxes for n in range(len(context.train))}, context.config.seed
    )
    training_context = replace(context, proposals=boxes)
    outcome = train_model(
        training_context,
        initial,
        TrainingTask(
            make_sampler=partial(_object_sampler, training_context),
            batch_size=context.config.train.batch_size,
            unit="objects",
            validator=AccuracyValidator(context),
        ),
    )
    saved = load_checkpoint(context.folder.best)
    content = io.BytesIO()
    torch.save(backbone_weights(context.config, saved.classes, saved.weights), content)
    file = context.folder.path / "weights.pth"
    write_bytes(file, content.getvalue())
    context.log(f"for detectors: --set model.backbone.weights={file}")
    return outcome


@dataclass(frozen=True)
class JitteredBoxes:
    """Boxes near the objects of each image, used as precomputed proposals; drawn the same every time.

    boxes: by image file, those of its objects, (G, 4) in pixels of the image.
    """

    boxes: Mapping[str, NDArray[np.float64]]
    seed: int

    def __getitem__(self, file: str, /) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return boxes (8 G, 4) in pixels of the image, and scores (8 G,), all 1."""
        boxes = np.repeat(self.boxes[file], BOXES_PER_OBJECT, axis=0)
        random = randomness.numpy_generator(self.seed, "variants", file)
        sides = boxes[:, 2:] - boxes[:, :2]
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2 + random.uniform(-MAX_SHIFT, MAX_SHIFT, sides.shape) * sides
        half = sides * random.uniform(1 - MAX_STRETCH, 1 + MAX_STRETCH, sides.shape) / 2
        return np.concatenate([centers - half, centers + half], axis=1), np.ones(len(boxes))


def _object_sampler(context: RunContext, batches: int, first: int) -> Sampler:
    config = context.config
    assert context.proposals is not None
    regions = index_regions(
        context.train,
        context.proposals,
        build_proposal_matcher(config.model),
        BOXES_PER_OBJECT * len(context.train.boxes),
    )
    objects = RegionIndex(regions.foreground, regions.background[:0])
    return RegionBatchSampler(objects, config.train.batch_size, 1.0, config.seed, config.data.min_sizes, batches, first)


@dataclass(frozen=True)
class AccuracyValidator:
    """Measures the fraction of the validation split's objects whose class has the highest score, without crowds."""

    context: RunContext

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The name of the only metric."""
        return ("accuracy",)

    @torch.no_grad()
    def run(self, detector: Detector) -> ValidationResult:
        """Classify the box of each object and return the accuracy; None without objects."""
        detector.eval()
        context, compute = self.context, self.context.compute
        unreadable: list[str] = []
        correct, losses = [torch.zeros(0)], [torch.zeros(0)]
        batches = evaluation_loader(
            context.val,
            build_preprocess(context.config),
            context.config.train.batch_size,
            context.config.data.workers,
            pin_memory=compute.is_asynchronous,
        )
        with explain_worker_death("data.workers", batches):
            for batch in batches:
                unreadable += batch.unreadable
                if not len(batch.images):
                    continue
                images, targets = (
                    batch.images.to(compute.device),
                    tuple(target.to(compute.device) for target in batch.targets),
                )
                with compute.autocast():
                    regional = detector.regions(images, (), [target.boxes[~target.crowd] for target in targets])
                    (stage,) = detector.head.stages
                    logits, _ = stage(regional)
                labels = torch.cat([target.labels[~target.crowd] for target in targets])
                correct.append((logits[:, 1:].argmax(1) + 1 == labels).float().cpu())
                losses.append(functional.cross_entropy(logits, labels, reduction="none").cpu())
        all_correct = torch.cat(correct)
        accuracy = float(all_correct.mean()) if len(all_correct) else None
        loss = float(torch.cat(losses).mean()) if len(all_correct) else 0.0
        predictions = DatasetPredictions(predictions=[], losses={}, unreadable=tuple(unreadable))
        return ValidationResult(metrics={"accuracy": accuracy}, loss=loss, predictions=predictions, score=None)
