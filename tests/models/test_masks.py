"""The mask head equals plain Python, trains the true class of the positives alone, and depends on no other image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from detect.config.builders.detector import build_detector
from detect.config.files import parse_config
from detect.models.detector import Detector
from detect.models.heads.masks import MaskHead, mean_mask_logits
from detect.models.tta import AugmentedView, DetectorWithTTA
from detect.ops import boxes as box_ops
from detect.ops.losses import mask_loss
from detect.types import Images, Samples, Targets
from tests.models.test_cascade import batch_for
from tests.models.test_detector import CLASSES, LOSSES, SIDE, SOME, images, random_pixels, sharpen, targets

SIZE = (SIDE, SIDE - 8)
CASCADE_LOSSES = {f"region_{name}_{stage}" for name in ("class", "box") for stage in (1, 2)}
MASK = {"pool_size": 6, "num_convs": 2, "channels": 8}
CASCADE: dict[str, Any] = {"cascade": {"ious": [0.5, 0.6]}}
MASK_OF_EACH_STAGE = CASCADE | {"mask": MASK | {"per_stage": True}}
MASK_LOSSES = {"region_mask_1", "region_mask_2"}
KINDS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "Mask R-CNN": ({}, LOSSES | {"region_mask"}),
    "pyramid": (
        {
            "backbone": {"name": "small", "output": "fpn", "fpn_levels": 3, "neck_channels": 16},
            "rpn": {"anchor_sizes": [12, 20, 32, 48]},
        },
        LOSSES | {"region_mask"},
    ),
    "without convolutions": ({"mask": {"pool_size": 6, "num_convs": 0, "channels": 8}}, LOSSES | {"region_mask"}),
    "group normalization": ({"mask": MASK | {"norm": "group"}}, LOSSES | {"region_mask"}),
    "cascade": (CASCADE, {"rpn_objectness", "rpn_box", "region_mask"} | CASCADE_LOSSES),
    "a mask head for each stage": (MASK_OF_EACH_STAGE, {"rpn_objectness", "rpn_box"} | CASCADE_LOSSES | MASK_LOSSES),
    "Fast R-CNN": (
        {"kind": "fast_rcnn", "proposals": "selective_search", "head": {"negative_iou": [0.0, 0.5]}},
        {"region_class", "region_box", "region_mask"},
    ),
}


def build(trainable: Sequence[str] = ("backbone", "proposer", "head"), **settings: Any) -> Detector:
    """Return a detector with masks whose weights tell one region from another."""
    model = {
        "kind": "mask_rcnn",
        "backbone": {"name": "small", "norm": "frozen", "output": "merged", "neck_channels": 16},
        "mask": MASK,
        "postprocess": {"score_threshold": 0.01},
        **settings,
    }
    rpn = {"channels": 16, "anchor_sizes": [12, 24, 48], "post_nms_top_n_train": 60, "post_nms_top_n_test": 40}
    model["rpn"] = rpn | {"allowed_border": None} | settings.get("rpn", {})
    head = {"type": "fc", "fc_dim": 32, "pool_size": 4, "batch_size_per_image": 16}
    model["head"] = head | settings.get("head", {})
    train = {"epochs": 1, "trainable": list(trainable)}
    return sharpen(build_detector(parse_config({"seed": 1, "model": model, "train": train}, "test"), CLASSES)[0])


def mask_stages(detector: Detector) -> Sequence[MaskHead]:
    """Return the mask heads of a detector that has one or more."""
    assert detector.mask_head is not None
    return detector.mask_head.stages


def with_masks(truth: Targets) -> Targets:
    """Return the targets with ellipses in their boxes as masks."""
    rows, columns = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
    masks = torch.zeros(len(truth), *SIZE, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, truth.boxes.tolist(), strict=True):
        x, y = (2 * columns - x1 - x2) / (x2 - x1), (2 * rows - y1 - y2) / (y2 - y1)
        mask[:] = x**2 + y**2 <= 1
    return replace(truth, masks=masks)


def test_mask_loss_is_the_cross_entropy_of_the_true_class_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 5, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    labels, cells = torch.tensor([2, 1, 3, 2]), torch.rand(4, 5, 5, generator=generator, dtype=torch.float64)
    loss = mask_loss(logits, labels, cells)
    total = 0.0
    for positive in range(4):
        for row in range(5):
            for column in range(5):
                score = 1 / (1 + math.exp(-logits[positive, labels[positive] - 1, row, column].item()))
                cell = float(cells[positive, row, column])
                total -= cell * math.log(score) + (1 - cell) * math.log(1 - score)
    assert loss.item() == pytest.approx(total / 100, rel=1e-12)
    (gradient,) = torch.autograd.grad(loss, logits)
    for positive, label in enumerate(labels.tolist()):
        assert [bool(part.any()) for part in gradient[positive]] == [k == label - 1 for k in range(3)]


def test_mask_loss_of_no_positives_is_0_and_has_a_gradient() -> None:
    logits = torch.zeros(0, 3, 5, 5, requires_grad=True)
    loss = mask_loss(logits, torch.zeros(0, dtype=torch.int64), torch.zeros(0, 5, 5))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None


@pytest.mark.parametrize("truth", [[[]], [[(4, 6, 30, 40)], []], [[(4, 6, 30, 40), (30, 10, 54, 30)], []]])
def test_losses_of_the_head_read_the_positives_and_their_own_masks(truth: list[Any]) -> None:
    """The mask of each sample is that of its target: of a sample that is its box, an ellipse of the whole cell grid."""
    detector = build()
    (mask_head,) = mask_stages(detector)
    all_targets = [with_masks(targets(*rows)) for rows in truth]
    batch = images(random_pixels(len(truth)))
    samples = [_samples_of(target) for target in all_targets]
    maps = detector.backbone(batch.pixels)
    loss = mask_head.losses(batch, maps, samples, all_targets)["region_mask"]
    count = sum(map(len, all_targets))
    assert loss.count == count
    regional = mask_head.regions(batch, maps, [target.boxes for target in all_targets])
    logits, entropies = mask_head(regional), []
    for row, label in enumerate([label for target in all_targets for label in target.labels.tolist()]):
        cells = _ellipse(12)
        score = logits[row, label - 1].sigmoid()
        entropies.append(-(cells * score.log() + (1 - cells) * (1 - score).log()).mean())
    expected = torch.stack(entropies).mean().item() if entropies else 0.0
    assert loss.value.item() == pytest.approx(expected, rel=0.02, abs=1e-9)


def _samples_of(target: Targets) -> Samples:
    """Return the boxes of the targets in reverse as positives, after a sample of the background."""
    background = torch.tensor([[1.0, 1, 9, 9]])
    order = torch.arange(len(target)).flip(0)
    return Samples(
        boxes=torch.cat([background, target.boxes[order]]),
        labels=torch.cat([torch.zeros(1, dtype=torch.int64), target.labels[order]]),
        matched_boxes=torch.cat([background, target.boxes[order]]),
        target_index=torch.cat([torch.zeros(1, dtype=torch.int64), order]),
    )


def _ellipse(side: int) -> Tensor:
    """Return the share of each cell of a grid that a circle in it covers, by many points."""
    points = (torch.arange(side * 20) + 0.5) / (side * 10) - 1
    inside = (points[:, None] ** 2 + points**2 <= 1).float()
    return inside.reshape(side, 20, side, 20).mean((1, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_detectors_with_masks_have_a_loss_and_masks_of_their_detections(kind: str) -> None:
    settings, names = KINDS[kind]
    detector = build(**settings)
    batch = batch_for(detector, 2)
    losses = detector(batch, [with_masks(SOME), with_masks(targets())])
    assert losses.keys() == names
    assert all(bool(loss.value.isfinite()) for loss in losses.values())
    torch.stack([loss.value for name, loss in losses.items() if name.startswith("region_mask")]).sum().backward()
    for mask_head in mask_stages(detector):
        assert all(parameter.grad is not None for parameter in mask_head.parameters())
    for detections in detector.eval().detect(batch):
        assert detections.masks is not None
        assert detections.masks.shape == (len(detections), 12, 12)
        assert len(detections) > 0
        assert ((detections.masks > 0) & (detections.masks < 1)).all()


def test_each_stage_of_a_cascade_trains_its_mask_head_on_its_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    detector, recorded, losses = build(**MASK_OF_EACH_STAGE), list[Sequence[Samples]](), MaskHead.losses

    def record(head: MaskHead, *arguments: Any) -> Any:
        recorded.append(arguments[2])
        return losses(head, *arguments)

    monkeypatch.setattr(MaskHead, "losses", record)
    detector(batch_for(detector, 1), [with_masks(SOME)])
    first, second = (samples for (samples,) in recorded)
    assert not torch.equal(first.boxes[: len(second)], second.boxes)
    for samples, iou in ((first, 0.5), (second, 0.6)):
        positive = samples.labels > 0
        assert positive.any()
        assert (box_ops.iou(samples.boxes, samples.matched_boxes).diagonal()[positive] >= iou).all()
        assert torch.equal(SOME.boxes[samples.target_index][positive], samples.matched_boxes[positive])


def test_masks_of_the_stages_of_a_cascade_are_averaged() -> None:
    detector = build(**MASK_OF_EACH_STAGE).eval()
    batch = batch_for(detector, 2)
    maps, detections = detector.backbone(batch.pixels), detector.detect(batch)
    stage_logits = [stage.class_logits(batch, maps, detections) for stage in mask_stages(detector)]
    for image, logits in zip(detections, zip(*stage_logits, strict=True), strict=True):
        assert image.masks is not None
        assert len(image) > 0
        assert not torch.allclose(*logits)
        torch.testing.assert_close(image.masks, torch.stack(logits).sigmoid().mean(0))


@pytest.mark.parametrize("stages", [[0.0], [3.0, -1.0], [2.0, 0.5, -200.0], [200.0, 90.0]])
def test_mean_mask_logits_have_the_mean_probability(stages: list[float]) -> None:
    logits = torch.tensor(stages, dtype=torch.float64)[:, None, None, None]
    mean = sum(1 / (1 + math.exp(-logit)) for logit in stages) / len(stages)
    combined = mean_mask_logits(logits)
    assert combined.shape == (1, 1, 1)
    assert combined.isfinite().all()
    assert combined.sigmoid().item() == pytest.approx(mean, rel=1e-12)


def test_a_mask_head_changes_no_box_and_no_other_loss() -> None:
    plain, masked = build(kind="faster_rcnn", mask={}), build()
    batch = batch_for(plain, 2)
    for without, detections in zip(plain.eval().detect(batch), masked.eval().detect(batch), strict=True):
        assert torch.equal(without.boxes, detections.boxes)
        assert without.masks is None
    truth = [with_masks(SOME), with_masks(targets())]
    expected, losses = plain(batch, truth), masked(batch, truth)
    assert {name: loss.value.item() for name, loss in losses.items() if name != "region_mask"} == {
        name: loss.value.item() for name, loss in expected.items()
    }


def test_masks_have_the_same_bits_in_any_batch() -> None:
    detector = build().eval()
    batch = batch_for(detector, 3)
    together = detector.detect(batch)
    maps = detector.backbone(batch.pixels)
    for index, detections in enumerate(together):
        alone = Images(batch.pixels[index : index + 1], batch.sizes[:1], batch.seeds[index : index + 1])
        (others,) = detector.predict_masks(
            alone, [m[index : index + 1] for m in maps], [replace(detections, masks=None)]
        )
        assert others.masks is not None
        assert detections.masks is not None
        assert torch.equal(others.masks, detections.masks)


def test_an_image_without_detections_has_no_masks() -> None:
    detector = build(postprocess={"score_threshold": 1.0}).eval()
    for detections in detector.detect(batch_for(detector, 2)):
        assert detections.masks is not None
        assert detections.masks.shape == (0, 12, 12)


@pytest.mark.parametrize(
    ("trainable", "names", "has_gradient"),
    [
        (["backbone", "proposer", "head"], LOSSES | {"region_mask"}, True),
        (["mask"], {"region_mask"}, True),
        (["head"], {"region_class", "region_box", "region_mask"}, True),
        (["classifier", "mask"], {"region_class", "region_mask"}, True),
        (["classifier"], {"region_class"}, False),
        (["backbone", "proposer"], {"rpn_objectness", "rpn_box"}, False),
    ],
)
def test_the_mask_head_is_frozen_with_the_head_or_alone(
    trainable: list[str], names: set[str], has_gradient: bool
) -> None:
    truth = [with_masks(SOME), with_masks(targets())]
    detector = build(trainable)
    assert detector(batch_for(detector, 2), truth).keys() == names
    (mask_head,) = mask_stages(detector)
    assert {parameter.requires_grad for parameter in mask_head.parameters()} == {has_gradient}


def test_the_mask_heads_of_a_cascade_are_trained_alone() -> None:
    detector = build(["mask"], **MASK_OF_EACH_STAGE)
    losses = detector(batch_for(detector, 2), [with_masks(SOME), with_masks(targets())])
    assert losses.keys() == MASK_LOSSES
    assert {name.split(".")[0] for name, weight in detector.named_parameters() if weight.requires_grad} == {"mask_head"}


def test_targets_without_masks_are_refused() -> None:
    detector = build()
    with pytest.raises(ValueError, match="targets: expected masks for the mask head, found none"):
        detector(batch_for(detector, 1), [SOME])


@pytest.mark.parametrize("merge", ["wbf", "nms"])
def test_masks_of_flipped_views_are_flipped_back(merge: Any) -> None:
    """An image that is its own mirror image gives masks that are, too."""
    detector = build().eval()
    batch = batch_for(detector, 1)
    (detections,) = DetectorWithTTA(detector, [AugmentedView(), AugmentedView(hflip=True)], merge).detect(batch)
    assert detections.masks is not None
    assert len(detections.masks) == len(detections) > 0
    (flipped,) = DetectorWithTTA(detector, [AugmentedView(hflip=True)], "nms").detect(batch)
    mirrored = batch.pixels.clone()
    mirrored[..., : SIZE[1]] = mirrored[..., : SIZE[1]].flip(3)
    (plain,) = detector.detect(Images(mirrored, batch.sizes, batch.seeds))
    assert flipped.masks is not None
    assert plain.masks is not None
    torch.testing.assert_close(flipped.masks, plain.masks.flip(2), atol=1e-5, rtol=0)
