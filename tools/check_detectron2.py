#!/usr/bin/env python3
"""Compare our boxes and masks of detectron2's detectors with those of detectron2, on the same images.

    python3 -m venv D2 && D2/bin/pip install torch torchvision
    D2/bin/pip install --no-build-isolation DETECTRON2_SOURCE
    tools/check_detectron2.py --detectron2-python D2/bin/python IMAGE...

detectron2 runs in another interpreter. For each layout it builds a model with random weights, random statistics of its
normalization layers, and outputs scaled so that many boxes pass every threshold; we import its file. Both detect on
lossless copies of the images. The networks run in float32 and in float64 (detectron2's boxes are always float32). The
exit status is 1 if we find fewer than 98% of its detections within 0.05 pixels (float64: 0.001), if the numbers of
detections differ by more than 2%, if an image has no more than 100 detections, or if fewer than 99% of the masks of the
detections that both find, pasted into the image, have an IoU of 0.99.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.detectron2_import import import_detectron2
from detect.config.builders.detector import build_uninitialized
from detect.data.images import read_image
from detect.ops.masks import paste_masks
from detect.ops.preprocess import rescale_boxes
from detect.types import Detections, Proposals

NAMES = (
    *(f"COCO-Detection/faster_rcnn_R_50_{cut}_1x" for cut in ("C4", "DC5", "FPN")),
    *(f"COCO-Detection/faster_rcnn_R_101_{cut}_3x" for cut in ("C4", "DC5", "FPN")),
    "COCO-Detection/fast_rcnn_R_50_FPN_1x",
    "PascalVOC-Detection/faster_rcnn_R_50_C4",
    "Misc/cascade_mask_rcnn_R_50_FPN_1x",
    *(f"COCO-InstanceSegmentation/mask_rcnn_R_50_{cut}_1x" for cut in ("DC5", "FPN")),
    *(f"COCO-InstanceSegmentation/mask_rcnn_R_101_{cut}_3x" for cut in ("DC5", "FPN")),
)
TOLERANCE = {torch.float32: 0.05, torch.float64: 0.001}  # pixels of the image
MIN_MATCHED, MAX_COUNT_DIFFERENCE, MIN_DETECTIONS = 0.98, 0.02, 100
MIN_MASK_IOU, MIN_MASKS_MATCHED = 0.99, 0.99

# Runs in the other interpreter. Input: a request as JSON. Output: a file with the weights and one with the detections.
_DETECTRON2 = """
import json, sys
import numpy as np
import torch
from PIL import Image
from detectron2 import model_zoo
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from torchvision.ops import boxes as box_ops

nms = box_ops.batched_nms  # its kernel refuses the float64 scores that come with float32 boxes
box_ops.batched_nms = lambda boxes, scores, *others: nms(boxes, scores.float(), *others)
request = json.load(sys.stdin)
torch.manual_seed(request["seed"])
cfg = model_zoo.get_config(request["name"] + ".yaml")
cfg.MODEL.DEVICE = "cpu"
cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = request["min_size"], request["max_size"]
cfg.MODEL.RPN.POST_NMS_TOPK_TEST = request["proposals"]
cfg.TEST.DETECTIONS_PER_IMAGE = request["limit"]
model = build_model(cfg).eval()
resize = ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)

def detect(image, boxes):
    rgb = np.asarray(Image.open(image))
    bgr = rgb[:, :, ::-1]
    resized = resize.get_transform(bgr).apply_image(bgr)
    inputs = {"image": torch.as_tensor(resized.astype("float32").transpose(2, 0, 1)), "height": rgb.shape[0],
              "width": rgb.shape[1]}
    if boxes is not None:
        size = resized.shape[:2]
        scale = torch.tensor([size[1], size[0]] * 2)
        proposals = Boxes(torch.tensor(boxes) * scale)
        inputs["proposals"] = Instances(size, proposal_boxes=proposals, objectness_logits=torch.zeros(len(boxes)))
    with torch.no_grad():
        return model([inputs])[0]["instances"]

for layer in model.modules():
    if isinstance(layer, FrozenBatchNorm2d):
        layer.running_mean.normal_(std=0.1)
        layer.running_var.uniform_(0.5, 2.0)
        layer.weight.uniform_(0.5, 1.5)
        layer.bias.normal_(std=0.1)
fast = cfg.MODEL.PROPOSAL_GENERATOR.NAME == "PrecomputedProposals"
boxes = request["boxes"] if fast else None

def scale_outputs(stds):
    outputs_of = {layer: [] for layer in stds}
    hooks = [layer.register_forward_hook(lambda layer, _, out: outputs_of[layer].append(out.transpose(0, 1).flatten(1)))
             for layer in stds]
    detect(request["images"][0], boxes)
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        for layer, std in stds.items():
            outputs = torch.cat(outputs_of[layer], 1)  # one row for each output channel
            mean = outputs.mean(1)  # after 100 random layers it dominates: one class would win all boxes
            scale = std / (outputs - mean[:, None]).std()
            layer.weight *= scale
            layer.bias += -mean * scale

if not fast:  # before the head: the large deltas of random layers would leave no proposals
    head = model.proposal_generator.rpn_head
    scale_outputs({head.objectness_logits: 3.0, head.anchor_deltas: 0.3})
predictors = model.roi_heads.box_predictor
for predictor in predictors if isinstance(predictors, torch.nn.ModuleList) else [predictors]:
    scale_outputs({predictor.cls_score: 2.5, predictor.bbox_pred: 1.0})
if cfg.MODEL.MASK_ON:
    scale_outputs({model.roi_heads.mask_head.predictor: 2.0})
torch.save({"model": model.state_dict(), "__author__": "check_detectron2"}, request["weights"])
detections = []
for dtype in (torch.float32, torch.float64):
    model.to(dtype)
    instances = [detect(image, boxes) for image in request["images"]]
    detections.append([{"boxes": image.pred_boxes.tensor, "labels": image.pred_classes + 1} |
                       ({"masks": image.pred_masks} if cfg.MODEL.MASK_ON else {}) for image in instances])
torch.save(detections, request["detections"])
"""


@dataclass(frozen=True)
class Agreement:
    """Numbers of detections of one layout in one precision: theirs, ours, and how many of theirs match one of ours.

    min_per_image: their smallest number of detections on an image. masks_matched: the matched ones whose masks have an
    IoU of MIN_MASK_IOU at least; None without masks.
    """

    theirs: int
    ours: int
    matched: int
    min_per_image: int
    masks_matched: int | None = None

    @property
    def within_limits(self) -> bool:
        """Return whether the agreement is within the limits MIN_MATCHED to MIN_MASKS_MATCHED."""
        similar = (
            self.matched >= MIN_MATCHED * self.theirs
            and abs(self.ours - self.theirs) <= MAX_COUNT_DIFFERENCE * self.theirs
        )
        same_masks = self.masks_matched is None or self.masks_matched >= MIN_MASKS_MATCHED * self.matched
        return similar and same_masks and self.min_per_image > MIN_DETECTIONS


def main() -> None:
    """Compare each layout in each precision, print a line for each, and exit with status 1 if one fails."""
    options = _options()
    good = True
    print(f"{'':46}{'precision':>10}{'theirs':>8}{'ours':>8}{'matched':>8}{'share':>9}{'masks':>9}")
    for name in options.names or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            agreements = _compare(name, options, Path(folder))
        for dtype, agreement in agreements.items():
            good &= agreement.within_limits
            share = agreement.matched / max(1, agreement.theirs)
            counts = f"{agreement.theirs:>8}{agreement.ours:>8}{agreement.matched:>8}{share:>9.2%}"
            if agreement.masks_matched is not None:
                counts += f"{agreement.masks_matched / max(1, agreement.matched):>9.2%}"
            print(f"{name:46}{str(dtype).removeprefix('torch.'):>10}{counts}", flush=True)
    sys.exit(0 if good else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="images to detect on")
    parser.add_argument("--detectron2-python", type=Path, required=True, help="interpreter that has detectron2")
    parser.add_argument(
        "--names", nargs="*", help="configurations of detectron2's model zoo [default: those we import]"
    )
    parser.add_argument("--min-size", type=int, default=800, help="shorter side of a resized image")
    parser.add_argument("--max-size", type=int, default=1333, help="maximum of its longer side")
    parser.add_argument("--proposals", type=int, default=1000, help="number of proposals after the NMS of the RPN")
    parser.add_argument("--limit", type=int, default=300, help="maximum number of detections of an image")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random weights and boxes")
    return parser.parse_args()


def _compare(name: str, options: argparse.Namespace, folder: Path) -> dict[torch.dtype, Agreement]:
    """Run both libraries on the images with the layout ``name`` and return their agreement by precision."""
    images = [read_image(image) for image in options.images]
    copies = [folder / f"{index}.png" for index in range(len(images))]
    for rgb, copy in zip(images, copies, strict=True):
        Image.fromarray(rgb).save(copy)
    request = {
        **{key: getattr(options, key) for key in ("seed", "min_size", "max_size", "proposals", "limit")},
        "name": name,
        "images": list(map(str, copies)),
        "boxes": random_boxes(options.proposals, options.seed).tolist(),
        "weights": str(folder / "theirs.pth"),
        "detections": str(folder / "detections.pth"),
    }
    command = [options.detectron2_python, "-W", "ignore", "-c", _DETECTRON2]
    process = subprocess.run(command, input=json.dumps(request), text=True)
    if process.returncode:
        sys.exit(f"{options.detectron2_python}: expected boxes of {name}, found exit status {process.returncode}")
    theirs = torch.load(request["detections"], weights_only=True)
    overrides = [
        f"data.min_size={options.min_size}",
        f"data.max_size={options.max_size}",
        f"model.rpn.post_nms_top_n_test={options.proposals}",
        f"model.postprocess.max_detections={options.limit}",
    ]
    checkpoint = import_detectron2(folder / "theirs.pth", overrides=overrides)
    return {
        dtype: measure_agreement(
            reference, detect_with_ours(checkpoint, images, torch.tensor(request["boxes"]), dtype), TOLERANCE[dtype]
        )
        for dtype, reference in zip(TOLERANCE, theirs, strict=True)
    }


def random_boxes(num_boxes: int, seed: int) -> Tensor:
    """Return random proposals (num_boxes, 4) in fractions of the image size, for a detector without an RPN."""
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 0.8, (num_boxes, 2))
    return torch.from_numpy(np.concatenate([corners, corners + random.uniform(0.05, 0.2, (num_boxes, 2))], 1)).float()


def detect_with_ours(
    checkpoint: Checkpoint, rgb_images: list[np.ndarray], boxes: Tensor, dtype: torch.dtype
) -> list[Detections]:
    """Return our detections in pixels of the images; the networks compute in ``dtype``.

    rgb_images: each (H, W, 3). boxes: precomputed proposals (P, 4) in fractions, used if the detector has no RPN.
    """
    detector = build_uninitialized(checkpoint.config, checkpoint.classes).to(dtype).eval()
    detector.load_state_dict(checkpoint.weights)
    preprocess, detections = checkpoint.preprocess, []
    for rgb in rgb_images:
        resized = preprocess.resize(rgb)
        size = (resized.shape[0], resized.shape[1])
        proposals = [Proposals(boxes.to(dtype) * boxes.new_tensor([size[1], size[0]] * 2), boxes.new_zeros(len(boxes)))]
        exact = resized.astype(np.float64) if dtype == torch.float64 else resized
        batch = preprocess.batch(
            [preprocess.normalize(exact)],
            [0],
            proposals if checkpoint.config.model.uses_precomputed_proposals else None,
        )
        (in_network,) = detector.detect(batch)
        boxes_in_image = rescale_boxes(in_network.boxes, size, (rgb.shape[0], rgb.shape[1]))
        detections.append(replace(in_network, boxes=boxes_in_image))
    return detections


def measure_agreement(theirs: list[dict[str, Tensor]], ours: list[Detections], tolerance: float) -> Agreement:
    """Count their boxes that match one of ours: the same label, and each edge within ``tolerance`` pixels.

    Their masks (D, h, w), where there are any, are compared with those of our nearest boxes.
    """
    num_matched, mask_ious = 0, list[Tensor]()
    for reference, detections in zip(theirs, ours, strict=True):
        distances = (reference["boxes"][:, None].double() - detections.boxes.double()).abs().amax(2)
        distances[reference["labels"][:, None] != detections.labels] = float("inf")
        matched = (distances <= tolerance).any(1)
        num_matched += int(matched.sum())
        if "masks" in reference and matched.any():
            nearest = detections.select(distances[matched].argmin(1))
            mask_ious.append(_mask_ious(reference["masks"][matched], nearest))
    counts = [len(reference["boxes"]) for reference in theirs]
    has_masks = any("masks" in reference for reference in theirs)
    masks_matched = sum(int((ious >= MIN_MASK_IOU).sum()) for ious in mask_ious) if has_masks else None
    return Agreement(sum(counts), sum(map(len, ours)), num_matched, min(counts), masks_matched)


def _mask_ious(theirs: Tensor, ours: Detections) -> Tensor:
    """Return the IoU (D,) of each of their masks (D, h, w) with ours, in the image; 1 where both are empty."""
    assert ours.masks is not None, "their detector predicts masks"
    pasted = paste_masks(ours.masks, ours.boxes, (theirs.shape[1], theirs.shape[2]))
    shared, union = (theirs & pasted).sum((1, 2)), (theirs | pasted).sum((1, 2))
    return torch.where(union > 0, shared / union.clamp(min=1), 1.0)


if __name__ == "__main__":
    main()
