"""Recipe `classify`: a backbone as a classifier of objects, for networks whose ImageNet weights cannot be had.

It is R-CNN's network on crops of the objects alone: each is one region, moved and stretched a little, and there is no
background. What comes of it is ``weights.pth``, which ``model.backbone.weights`` takes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config.builders.detector import backbone_weights, preprocess_rule
from detect.config.builders.slots import region_matcher
from detect.data.loading.loader import evaluation_loader
from detect.data.loading.region_sampler import RegionPlan, RegionPool, region_pool
from detect.data.loading.workers import told_when_a_worker_ends
from detect.inference.dataset_pass import Pass
from detect.models.detector import Detector
from detect.system import randomness
from detect.system.files import write_bytes
from detect.training.context import Outcome, Work
from detect.training.initial_model import Start
from detect.training.task import Lesson, Plan
from detect.training.trainer import train_network
from detect.training.validation import Validated
from detect.types import targets_to, to_device

VARIANTS = 8  # of each object's box, beside the box itself
SHIFT, STRETCH = 0.1, 0.2  # of its sides, at most: their IoU with the object stays above 0.5


def classify(work: Work, start: Start | None = None) -> Outcome:
    """Train, then write the backbone's weights by its maker's names."""
    given = Variants({work.train.file(n): work.train[n].boxes for n in range(len(work.train))}, work.config.seed)
    shown = replace(work, given=given)
    outcome = train_network(
        shown,
        start,
        Lesson(lambda *place: _plan(shown, *place), work.config.train.batch_size, "objects", Accuracy(work)),
    )
    saved = load_checkpoint(work.folder.best)
    content = io.BytesIO()
    torch.save(backbone_weights(work.config, saved.classes, saved.weights), content)
    file = work.folder.path / "weights.pth"
    write_bytes(file, content.getvalue())
    work.say(f"for detectors: --set model.backbone.weights={file}")
    return outcome


@dataclass(frozen=True)
class Variants:
    """Boxes near the objects of each image, as given proposals; the same whenever they are asked for."""

    boxes: Mapping[str, NDArray[np.float64]]
    seed: int

    def __getitem__(self, file: str, /) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(8 G, 4) in pixels of the image, and scores that say nothing."""
        own = np.repeat(self.boxes[file], VARIANTS, axis=0)
        draw = randomness.generator(self.seed, "variants", file)
        sides = own[:, 2:] - own[:, :2]
        centres = (own[:, :2] + own[:, 2:]) / 2 + draw.uniform(-SHIFT, SHIFT, sides.shape) * sides
        half = sides * draw.uniform(1 - STRETCH, 1 + STRETCH, sides.shape) / 2
        return np.concatenate([centres - half, centres + half], axis=1), np.ones(len(own))


def _plan(work: Work, batches: int, first: int) -> Plan:
    config = work.config
    assert work.given is not None
    pool = region_pool(work.train, work.given, region_matcher(config.model), VARIANTS * len(work.train.boxes))
    objects = RegionPool(pool.foreground, pool.background[:0])
    return RegionPlan(objects, config.train.batch_size, 1.0, config.seed, config.data.min_sizes, batches, first)


@dataclass(frozen=True)
class Accuracy:
    """The share of the validation split's objects, crowds aside, whose class is the network's first choice."""

    work: Work

    @property
    def names(self) -> tuple[str, ...]:
        """One number."""
        return ("accuracy",)

    @torch.no_grad()
    def run(self, detector: Detector) -> Validated:
        """Each object's own box is the region."""
        detector.eval()
        work, compute = self.work, self.work.compute
        unreadable: list[str] = []
        right, losses = [torch.zeros(0)], [torch.zeros(0)]
        batches = evaluation_loader(
            work.val, preprocess_rule(work.config), work.config.train.batch_size, work.config.data.workers
        )
        with told_when_a_worker_ends("data.workers", batches):
            for batch in batches:
                unreadable += batch.unreadable
                if not len(batch.images):
                    continue
                images, targets = to_device(batch.images, compute.device), targets_to(batch.targets, compute.device)
                with compute.autocast():
                    regional = detector.regions(images, (), [own.boxes[~own.crowd] for own in targets])
                    logits, _ = detector.head(regional)
                labels = torch.cat([own.labels[~own.crowd] for own in targets])
                right.append((logits[:, 1:].argmax(1) + 1 == labels).float().cpu())
                losses.append(functional.cross_entropy(logits, labels, reduction="none").cpu())
        answers = torch.cat(right)
        accuracy = float(answers.mean()) if len(answers) else None
        loss = float(torch.cat(losses).mean()) if len(answers) else 0.0
        return Validated({"accuracy": accuracy}, loss, Pass([], {}, tuple(unreadable)), None)
