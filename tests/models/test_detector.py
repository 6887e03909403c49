from __future__ import annotations

from typing import Any

import pytest
import torch

from detect.config.builders.detector import build_detector, frozen_parts
from detect.config.files import parse_config
from detect.config.train import TrainablePart
from detect.models.detector import Detector
from detect.models.heads.softmax import SoftmaxHead
from detect.models.heads.tails import TwoLayerFC
from detect.models.regions.pooled import PooledRegions
from detect.types import Detections, Images, Targets

CLASSES = ("cat", "dog", "cow")
LOSSES = {"rpn_objectness", "rpn_box", "region_class", "region_box"}
MODULE_OF_PART = {"tail": "head.tail.", "classifier": "head.logits.", "box_regressor": "head.deltas."}
SIDE = 64


def build(
    backbone: dict[str, Any] | None = None,
    rpn: dict[str, Any] | None = None,
    head: dict[str, Any] | None = None,
    *,
    seed: int = 1,
) -> Detector:
    model = {
        "backbone": {"name": "small", "norm": "frozen", "output": "merged", "neck_channels": 16, **(backbone or {})},
        "rpn": {
            "channels": 16,
            "anchor_sizes": [12, 24, 48],
            "post_nms_top_n_train": 60,
            "post_nms_top_n_test": 40,
            "allowed_border": None,
            **(rpn or {}),
        },
        "head": {"type": "fc", "fc_dim": 32, "pool_size": 4, "batch_size_per_image": 16, **(head or {})},
        "postprocess": {"score_threshold": 0.01},
    }
    return build_detector(parse_config({"seed": seed, "model": model}, "test"), CLASSES)[0]


OWN_TAIL = {"type": "backbone", "pool_size": None}
ONE_MAP = {"output": "c4"}


def sharpen(detector: Detector) -> Detector:
    """Weights that tell one place from another, so that no two scores are near each other."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in detector.named_parameters():
        if name.endswith(("objectness.weight", ".logits.weight")):
            torch.nn.init.normal_(parameter, std=1.0, generator=generator)
    return detector


def random_pixels(count: int) -> torch.Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))


def images(pixels: torch.Tensor) -> Images:
    return Images(pixels, ((SIDE, SIDE - 8),) * len(pixels), tuple(range(10, 10 + len(pixels))))


def targets(*rows: tuple[float, float, float, float]) -> Targets:
    flags = torch.zeros(len(rows), dtype=torch.bool)
    boxes = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
    return Targets(boxes, torch.arange(len(rows)) % len(CLASSES) + 1, flags, flags)


SOME = targets((4, 6, 30, 40), (30, 10, 54, 30))


def total_loss(detector: Detector, batch: Images, truth: list[Targets]) -> torch.Tensor:
    return sum((loss.value for loss in detector(batch, truth).values()), torch.zeros(()))


@pytest.mark.parametrize(
    "truth", [[targets()], [targets(), targets()], [SOME, targets()], [SOME, targets((1, 1, 50, 60))]]
)
@pytest.mark.parametrize("training", [True, False])
def test_losses_are_named_and_finite_in_both_modes(truth: list[Targets], training: bool) -> None:
    mean_losses = build().train(training)(images(random_pixels(len(truth))), truth)
    losses = {name: loss.value for name, loss in mean_losses.items()}
    assert set(losses) == LOSSES
    for loss in losses.values():
        assert loss.shape == ()
        assert loss.isfinite()
    assert bool(losses["region_box"] > 0) == any(len(target) for target in truth)


def same(a: Detections, b: Detections, tolerance: float) -> None:
    assert len(a) == len(b)
    torch.testing.assert_close(a.boxes, b.boxes, atol=tolerance, rtol=0)
    torch.testing.assert_close(a.scores, b.scores, atol=tolerance, rtol=0)
    assert torch.equal(a.labels, b.labels)


PYRAMID = {"output": "fpn", "fpn_levels": 3}
LEVELS = {"anchor_sizes": [12, 20, 32, 48], "num_convs": 2}
CONVOLVED = {"type": "conv_fc", "num_convs": 2}


@pytest.mark.parametrize(
    "settings",
    [
        ({}, {}, {}),
        (ONE_MAP, {}, OWN_TAIL),
        (PYRAMID, LEVELS, {}),
        (PYRAMID | {"neck_norm": "group", "norm": "group"}, LEVELS, CONVOLVED | {"norm": "group"}),
        ({"output": "dc5"}, {}, CONVOLVED),
    ],
)
def test_detect_is_the_same_in_both_modes(settings: tuple[dict[str, Any], ...]) -> None:
    detector = sharpen(build(*settings))
    batch = images(random_pixels(2))
    learning, resting = detector.train().detect(batch), detector.eval().detect(batch)
    assert len(learning) == len(resting) == 2
    for detections, other in zip(learning, resting, strict=True):
        same(detections, other, 0.0)
    for actual in resting:
        assert 0 < len(actual) <= 100
        assert not actual.boxes.requires_grad
        assert (actual.scores.diff() <= 0).all()
        assert set(actual.names()) <= set(CLASSES)
        assert (actual.boxes[:, 2] <= SIDE - 8).all()


@pytest.mark.parametrize(
    "settings", [({"norm": "batch"},), (PYRAMID | {"norm": "group"}, LEVELS, CONVOLVED | {"norm": "group"})]
)
def test_detections_do_not_depend_on_the_rest_of_the_batch(settings: tuple[dict[str, Any], ...]) -> None:
    detector = sharpen(build(*settings)).eval()
    pixels = random_pixels(3)
    together = detector.detect(images(pixels))
    assert sum(map(len, together)) > 0
    for index in range(3):
        (alone,) = detector.detect(images(pixels[index : index + 1]))
        same(alone, together[index], 1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        ({}, {}, {}),
        (ONE_MAP, {}, OWN_TAIL),
        (PYRAMID, LEVELS, CONVOLVED),
        (PYRAMID | {"neck_norm": "batch", "split_last_stage": 1}, LEVELS, CONVOLVED | {"norm": "batch"}),
        ({"output": "dc5"}, {}, {}),
    ],
)
@pytest.mark.parametrize("norm", ["batch", "frozen", "group", "sync"])
def test_every_parameter_gets_a_gradient(settings: tuple[dict[str, Any], ...], norm: str) -> None:
    backbone, rpn, head = settings
    detector = build({"norm": norm, **backbone}, rpn, head).train()
    total_loss(detector, images(random_pixels(2)), [SOME, SOME]).backward()
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("norm", ["batch", "frozen"])
@pytest.mark.parametrize("head", [{}, OWN_TAIL])
def test_images_without_proposals_train_and_detect(head: dict[str, Any], norm: str) -> None:
    backbone = {"norm": norm, **(ONE_MAP if head else {})}
    detector = build(backbone, {"min_side": 1000}, head).train()
    losses = detector(images(random_pixels(2)), [targets(), targets()])
    assert losses["region_class"].value.item() == losses["region_box"].value.item() == 0.0
    total_loss(detector, images(random_pixels(2)), [targets(), targets()]).backward()
    assert all(parameter.grad is not None for parameter in detector.get_submodule("head").parameters())
    assert [len(actual) for actual in detector.eval().detect(images(random_pixels(2)))] == [0, 0]


def test_a_few_steps_lower_the_loss() -> None:
    detector = build({"norm": "batch"}).train()
    optimizer = torch.optim.SGD(detector.parameters(), lr=0.02, momentum=0.9)
    batch, sums = images(random_pixels(1)), []
    for _ in range(12):
        loss = total_loss(detector, batch, [SOME])
        sums.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert sums[-1] < 0.8 * sums[0]


def test_initial_weights_depend_on_the_seed() -> None:
    first, same, other = (build(seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if name.endswith("conv.weight"))
    assert any(name.endswith("conv.weight") for name in first)


def test_postprocess_of_run_head_equals_detect() -> None:
    detector = sharpen(build()).eval()
    batch = images(random_pixels(2))
    with torch.no_grad():
        maps = detector.backbone(batch.pixels)
        raw = detector.run_head(batch, maps, detector.proposer(batch, maps, detector.test_selection).proposals)
    for proposals, logits, deltas in zip(raw.proposals, raw.logits, raw.deltas, strict=True):
        assert logits.shape == (len(proposals), len(CLASSES) + 1)
        assert deltas.shape == (len(proposals), len(CLASSES), 4)
    postprocessed = map(detector.postprocess, raw.proposals, raw.logits, raw.deltas, batch.sizes)
    for detections, other in zip(postprocessed, detector.detect(batch), strict=True):
        same(detections, other, 0.0)
    for detections, other in zip(detector.detect(batch, maps), detector.detect(batch), strict=True):
        same(detections, other, 0.0)


@pytest.mark.parametrize("regions", [0, 3])
def test_head_and_regions_keep_their_shapes(regions: int) -> None:
    boxes = torch.tensor([[0.0, 0, 16, 16]]).repeat(regions, 1)
    for pool in ("roi_pool", "roi_align"):
        pooled = PooledRegions("roi_pool" if pool == "roi_pool" else "roi_align", 2, 8)
        regional = pooled(images(random_pixels(2)), [torch.randn(2, 5, 8, 8)], [boxes[:0], boxes])
        assert regional.shape == (regions, 5, 2, 2)
    tail = TwoLayerFC(5, 2, 6)
    logits, deltas = SoftmaxHead(tail, tail.out_features, 3)(regional)
    assert logits.shape == (regions, 4)
    assert deltas.shape == (regions, 3, 4)


@pytest.mark.parametrize(
    ("frozen", "left"),
    [
        ([], LOSSES),
        (["backbone"], LOSSES),
        (["proposer"], {"region_class", "region_box"}),
        (["head"], {"rpn_objectness", "rpn_box"}),
        (["backbone", "proposer"], {"region_class", "region_box"}),
        (["tail"], LOSSES),
        (["classifier"], LOSSES - {"region_class"}),
        (["backbone", "proposer", "tail", "classifier"], {"region_box"}),
        (["backbone", "proposer", "tail", "box_regressor"], {"region_class"}),
    ],
)
def test_frozen_parts_stay_and_the_others_learn(frozen: list[str], left: set[str]) -> None:
    detector = build({"norm": "batch"})
    detector.freeze(frozen)
    detector.train()
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    losses = detector(images(random_pixels(2)), [SOME, SOME])
    assert set(losses) == left
    sum((loss.value for loss in losses.values()), torch.zeros(())).backward()
    torch.optim.SGD([p for p in detector.parameters() if p.requires_grad], lr=1.0).step()
    prefixes = tuple(MODULE_OF_PART.get(part, f"{part}.") for part in frozen)
    for name, value in detector.state_dict().items():
        if name.startswith(prefixes):
            assert torch.equal(value, before[name]), name  # statistics too
    for name, parameter in detector.named_parameters():
        assert (parameter.grad is None) == name.startswith(prefixes), name


@pytest.mark.parametrize(
    ("trainable", "frozen"),
    [
        (["backbone", "proposer", "head"], set()),
        (["backbone", "proposer"], {"head"}),
        (["head"], {"backbone", "proposer"}),
        (["head", "classifier"], {"backbone", "proposer"}),
        (["box_regressor"], {"backbone", "proposer", "tail", "classifier", "mask"}),
        (["backbone", "classifier"], {"proposer", "tail", "box_regressor", "mask"}),
        (["proposer", "classifier", "box_regressor"], {"backbone", "tail", "mask"}),
        (["mask"], {"backbone", "proposer", "tail", "classifier", "box_regressor"}),
    ],
)
def test_frozen_parts_of_the_trainable_ones(trainable: list[TrainablePart], frozen: set[str]) -> None:
    assert frozen_parts(trainable) == frozen


def test_box_loss_with_weight_zero_is_not_computed() -> None:
    losses = build(head={"box_weight": 0.0})(images(random_pixels(1)), [SOME])
    assert set(losses) == LOSSES - {"region_box"}
