#!/usr/bin/env python3
"""The boxes of detectron2's detectors by us and by detectron2, on the same images.

    python3 -m venv D2 && D2/bin/pip install torch torchvision
    D2/bin/pip install --no-build-isolation DETECTRON2_SOURCE
    tools/check_detectron2.py --detectron2-python D2/bin/python IMAGE...

detectron2 runs in an interpreter of its own. For each layout it makes a model with random weights, random statistics of
its normalisations, and outputs so spread that many boxes pass every threshold; we import its file. Both look at
lossless copies of the images. Its networks run in float32 and in float64 (its boxes are float32 always). Exit status 1
where fewer than 98% of its detections are among ours within 0.05 pixels (float64: 0.001), the numbers of detections
differ by more than 2%, or an image has no more than 100.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.detectron2_import import import_detectron2
from detect.config.builders.detector import build_uninitialized
from detect.data.images import read_image
from detect.ops.preprocess import rescale_boxes
from detect.types import Detections, Proposals

NAMES = (
    *(f"COCO-Detection/faster_rcnn_R_50_{cut}_1x" for cut in ("C4", "DC5", "FPN")),
    *(f"COCO-Detection/faster_rcnn_R_101_{cut}_3x" for cut in ("C4", "DC5", "FPN")),
    "COCO-Detection/fast_rcnn_R_50_FPN_1x",
    "PascalVOC-Detection/faster_rcnn_R_50_C4",
)
TOLERANCE = {torch.float32: 0.05, torch.float64: 0.001}  # pixels of the image
MIN_MATCHED, MAX_COUNT_DIFFERENCE, MIN_DETECTIONS = 0.98, 0.02, 100

# Runs in the other interpreter: a request in as JSON; a file with the weights and one with the detections out.
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

def look(image, boxes):
    rgb = np.asarray(Image.open(image))
    bgr = rgb[:, :, ::-1]
    seen = resize.get_transform(bgr).apply_image(bgr)
    asked = {"image": torch.as_tensor(seen.astype("float32").transpose(2, 0, 1)), "height": rgb.shape[0],
             "width": rgb.shape[1]}
    if boxes is not None:
        size = seen.shape[:2]
        scale = torch.tensor([size[1], size[0]] * 2)
        given = Boxes(torch.tensor(boxes) * scale)
        asked["proposals"] = Instances(size, proposal_boxes=given, objectness_logits=torch.zeros(len(boxes)))
    with torch.no_grad():
        return model([asked])[0]["instances"]

for layer in model.modules():
    if isinstance(layer, FrozenBatchNorm2d):
        layer.running_mean.normal_(std=0.1)
        layer.running_var.uniform_(0.5, 2.0)
        layer.weight.uniform_(0.5, 1.5)
        layer.bias.normal_(std=0.1)
fast = cfg.MODEL.PROPOSAL_GENERATOR.NAME == "PrecomputedProposals"
boxes = request["boxes"] if fast else None

def spread_out(spreads):
    said = {layer: [] for layer in spreads}
    hooks = [layer.register_forward_hook(lambda layer, _, out: said[layer].append(out.transpose(0, 1).flatten(1)))
             for layer in spreads]
    look(request["images"][0], boxes)
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        for layer, spread in spreads.items():
            outputs = torch.cat(said[layer], 1)  # one row for each output
            middle = outputs.mean(1)  # a hundred random layers answer alike everywhere: one class would win all boxes
            scale = spread / (outputs - middle[:, None]).std()
            layer.weight *= scale
            layer.bias += -middle * scale

if not fast:  # first: deltas as large as random layers make them leave no proposals to look at
    head = model.proposal_generator.rpn_head
    spread_out({head.objectness_logits: 3.0, head.anchor_deltas: 0.3})
predictor = model.roi_heads.box_predictor
spread_out({predictor.cls_score: 2.5, predictor.bbox_pred: 1.0})
torch.save({"model": model.state_dict(), "__author__": "check_detectron2"}, request["weights"])
found = []
for dtype in (torch.float32, torch.float64):
    model.to(dtype)
    seen = [look(image, boxes) for image in request["images"]]
    found.append([{"boxes": one.pred_boxes.tensor, "labels": one.pred_classes + 1} for one in seen])
torch.save(found, request["found"])
"""


@dataclass(frozen=True)
class Agreement:
    """Of one layout in one precision: detections of theirs and ours, and how many of theirs are among ours."""

    theirs: int
    ours: int
    matched: int
    min_per_image: int  # of theirs on an image

    @property
    def within_limits(self) -> bool:
        """Whether it is within the limits above."""
        alike = self.matched >= MIN_MATCHED * self.theirs and abs(self.ours - self.theirs) <= MAX_COUNT_DIFFERENCE * self.theirs
        return alike and self.min_per_image > MIN_DETECTIONS


def main() -> None:
    """Print a line for each layout and precision."""
    options = _options()
    good = True
    print(f"{'':46}{'precision':>10}{'theirs':>8}{'ours':>8}{'found':>8}{'share':>9}")
    for name in options.names or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            agreements = _compare(name, options, Path(folder))
        for dtype, agreement in agreements.items():
            good &= agreement.within_limits
            share = agreement.matched / max(1, agreement.theirs)
            counts = f"{agreement.theirs:>8}{agreement.ours:>8}{agreement.matched:>8}{share:>9.2%}"
            print(f"{name:46}{str(dtype).removeprefix('torch.'):>10}{counts}", flush=True)
    sys.exit(0 if good else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    parser.add_argument("--detectron2-python", type=Path, required=True, help="interpreter that has detectron2")
    parser.add_argument(
        "--names", nargs="*", help="configurations of detectron2's model zoo [default: those we import]"
    )
    parser.add_argument("--min-size", type=int, default=800, help="the shorter side of a resized image")
    parser.add_argument("--max-size", type=int, default=1333, help="the longer side at most")
    parser.add_argument("--proposals", type=int, default=1000, help="proposals that leave the RPN")
    parser.add_argument("--limit", type=int, default=300, help="the most detections an image")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _compare(name: str, options: argparse.Namespace, folder: Path) -> dict[torch.dtype, Agreement]:
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
        "found": str(folder / "found.pth"),
    }
    command = [options.detectron2_python, "-W", "ignore", "-c", _DETECTRON2]
    done = subprocess.run(command, input=json.dumps(request), text=True)
    if done.returncode:
        sys.exit(f"{options.detectron2_python}: expected boxes of {name}, found that it ended with {done.returncode}")
    theirs = torch.load(request["found"], weights_only=True)
    overrides = [
        f"data.min_size={options.min_size}",
        f"data.max_size={options.max_size}",
        f"model.rpn.post_nms_top_n_test={options.proposals}",
        f"model.postprocess.max_detections={options.limit}",
    ]
    checkpoint = import_detectron2(folder / "theirs.pth", overrides=overrides)
    return {
        dtype: measure_agreement(reference, detect_with_ours(checkpoint, images, torch.tensor(request["boxes"]), dtype), TOLERANCE[dtype])
        for dtype, reference in zip(TOLERANCE, theirs, strict=True)
    }


def random_boxes(num_boxes: int, seed: int) -> Tensor:
    """Proposals for a detector that has to be given some: (number, 4) in fractions of an image."""
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 0.8, (num_boxes, 2))
    return torch.from_numpy(np.concatenate([corners, corners + random.uniform(0.05, 0.2, (num_boxes, 2))], 1)).float()


def detect_with_ours(checkpoint: Checkpoint, rgb_images: list[np.ndarray], boxes: Tensor, dtype: torch.dtype) -> list[Detections]:
    """Our detections in the images' pixels, networks in ``dtype``; boxes: for a detector that is given some."""
    detector = build_uninitialized(checkpoint.config, checkpoint.classes).to(dtype).eval()
    detector.load_state_dict(checkpoint.weights)
    preprocess, detections = checkpoint.preprocess, []
    for rgb in rgb_images:
        resized = preprocess.resize(rgb)
        size = (resized.shape[0], resized.shape[1])
        proposals = [Proposals(boxes.to(dtype) * boxes.new_tensor([size[1], size[0]] * 2), boxes.new_zeros(len(boxes)))]
        exact = resized.astype(np.float64) if dtype == torch.float64 else resized
        batch = preprocess.batch([preprocess.normalize(exact)], [0], proposals if checkpoint.config.model.uses_precomputed_proposals else None)
        (in_network,) = detector.detect(batch)
        boxes_in_image = rescale_boxes(in_network.boxes, size, (rgb.shape[0], rgb.shape[1]))
        detections.append(Detections(boxes_in_image, in_network.scores, in_network.labels, None, checkpoint.classes))
    return detections


def measure_agreement(theirs: list[dict[str, Tensor]], ours: list[Detections], tolerance: float) -> Agreement:
    """How many of their boxes have one of ours of the same label with every side within ``near`` pixels."""
    num_matched = 0
    for reference, detections in zip(theirs, ours, strict=True):
        distances = (reference["boxes"][:, None].double() - detections.boxes.double()).abs().amax(2)
        distances[reference["labels"][:, None] != detections.labels] = float("inf")
        num_matched += int((distances <= tolerance).any(1).sum())
    counts = [len(reference["boxes"]) for reference in theirs]
    return Agreement(sum(counts), sum(map(len, ours)), num_matched, min(counts))


if __name__ == "__main__":
    main()
