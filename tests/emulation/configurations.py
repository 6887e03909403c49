"""The configurations that run on the emulated device: small images, narrow layers, random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from detect.config import Config
from detect.config.builders.detector import build_detector, build_preprocess
from detect.config.files import builtin_folder, load_config
from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.loading.collate import Batch, Collate, LoadedImage
from detect.data.loading.transforms import Example, ImageProposals
from detect.models.detector import Detector

PRECISIONS = ("fp32", "bf16", "fp16")
CLASSES = ("cat", "dog", "cow")
SIDE = 128  # of an image, in pixels
FPN, MERGED = "coco/faster_rcnn_r50_fpn.yaml", "faster_rcnn.yaml"
NARROW = ["model.backbone.neck_channels=32", "model.rpn.channels=32", "model.head.fc_dim=64",
          "model.head.batch_size_per_image=64", "model.rpn.post_nms_top_n_test=100"]  # fmt: skip
# The papers' Faster R-CNN trains in alternation, an RPN in steps of its own.
JOINT = ["train.recipe=joint", "train.rpn_steps=null", "train.rpn_batch_size=null"]
FEW_REGIONS = ["model.rpn.channels=64", "model.head.batch_size_per_image=4", "model.search.test_top_n=4",
               "model.rpn.post_nms_top_n_test=8"]  # fmt: skip
VIEWS = ["model.test_time.flip=true", "model.test_time.scales=[1, 1.5]"]
# name: configuration, what is changed
CONFIGURATIONS: dict[str, tuple[str, list[str]]] = {
    "R18-FPN": (FPN, ["model.backbone.name=resnet18", *NARROW]),
    "R50-FPN": (FPN, NARROW),
    "C4": ("coco/faster_rcnn_r50_c4.yaml", ["model.backbone.name=resnet18", *NARROW, *FEW_REGIONS]),
    "DC5": ("coco/faster_rcnn_r50_dc5.yaml", ["model.backbone.name=resnet18", *NARROW]),
    "merged": (MERGED, []),
    "merged, batch loss": (MERGED, ["model.rpn.loss_average=batch", "model.pool=roi_pool", "train.optimizer=rmsprop"]),
    "ZF": ("voc07/faster_rcnn_zf.yaml", [*JOINT, *FEW_REGIONS]),
    "Fast R-CNN": ("fast_rcnn.yaml", []),
    "Cascade R-CNN": ("cascade_rcnn.yaml", []),
    "Mask R-CNN": ("mask_rcnn.yaml", []),
    "R-CNN": ("rcnn.yaml", ["train.accumulate=2"]),
    "spatial transformer": (MERGED, ["model.head.transform=spatial_transformer"]),
    "frozen head": (MERGED, ["train.trainable=[backbone, proposer]"]),
    "R18-FPN, boxes of all views fused": (
        FPN,
        ["model.backbone.name=resnet18", *NARROW, *VIEWS, "model.test_time.merge=wbf"],
    ),
    "merged, boxes of all views fused": (MERGED, [*VIEWS, "model.test_time.merge=wbf"]),
    "merged, NMS over all views": (MERGED, [*VIEWS, "model.test_time.merge=nms"]),
    "Fast R-CNN, NMS over all views": ("fast_rcnn.yaml", [*VIEWS, "model.test_time.merge=nms"]),
}
ALL_FILES = sorted(
    str(file.relative_to(builtin_folder()))
    for file in builtin_folder().rglob("*.yaml")
    if not file.name.startswith("describe_")
)


def configured(file: str, changes: Sequence[str] = (), precision: str = "fp32") -> Config:
    """Return a configuration for the emulated device. All detections count, since the weights are random."""
    sizes = [f"data.min_size={SIDE}", f"data.max_size={SIDE}", "model.backbone.weights=null"]
    compute = ["model.postprocess.score_threshold=0", "device=cuda", f"train.precision={precision}", "train.lr=1e-5"]
    return load_config(Path(file), [*sizes, *compute, *changes])


def random_detector(config: Config) -> Detector:
    """Return a detector of random weights whose scores are spread, so that detections differ."""
    detector, _ = build_detector(config, CLASSES)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if name.endswith(("objectness.weight", ".logits.weight")):
                nn.init.normal_(parameter, std=0.05, generator=generator)
    return detector


def make_batch(config: Config, num_images: int, num_proposals: int = 40) -> Batch:
    """Return random pixels with two objects and a crowd an image; the last image has no object.

    num_proposals: random proposals of an image, beside one near each object, for a detector that needs them.
    """
    random = np.random.default_rng(num_images)
    samples: list[LoadedImage | str] = []
    for index in range(num_images):
        example = _random_example(random, 0 if index == num_images - 1 else 3, num_proposals)
        samples.append(
            LoadedImage(
                example=example,
                original_size=(2 * SIDE, 2 * SIDE),
                image_id=index,
                file=f"{index}.png",
                index=index,
                seed=index,
            )
        )
    return Collate(build_preprocess(config), True, config.model.uses_precomputed_proposals)(samples)


def _random_example(random: np.random.Generator, num_objects: int, num_proposals: int) -> Example:
    boxes = np.array([[8, 10, 60, 90], [50, 20, 120, 64], [70, 70, 100, 110]], np.float32)
    corners = random.uniform(0, 90, (num_proposals, 2))
    anywhere = np.concatenate([corners, corners + random.uniform(8, 38, (num_proposals, 2))], 1).astype(np.float32)
    proposals = np.concatenate([anywhere, boxes + 2])
    masks = np.zeros((3, SIDE, SIDE - 8), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
        mask[y1:y2, x1 : (x1 + x2) // 2] = True
    return Example(
        rgb=random.integers(0, 256, (SIDE, SIDE - 8, 3), dtype=np.uint8),
        boxes=boxes[:num_objects],
        labels=np.array([1, len(CLASSES), 1])[:num_objects],
        difficult=np.zeros(num_objects, bool),
        crowd=np.array([False, False, True])[:num_objects],
        proposals=ImageProposals(proposals, np.linspace(1, 0, len(proposals), dtype=np.float32)),
        masks=masks[:num_objects],
    )


def without_targets(batch: Batch) -> Batch:
    """Return a batch of images without labels."""
    return replace(batch, targets=())


def annotations_of(batch: Batch) -> Annotations:
    """Return annotations without objects of the images of a batch."""
    nothing = np.zeros(0, bool)
    images = [
        ImageAnnotation(
            file=file,
            image_id=image_id,
            size=size,
            boxes=np.zeros((0, 4)),
            labels=np.zeros(0, np.int64),
            difficult=nothing,
            crowd=nothing,
            areas=np.zeros(0),
        )
        for file, image_id, size in zip(batch.files, batch.image_ids, batch.original_sizes, strict=True)
    ]
    return Annotations.from_images(images, CLASSES)
