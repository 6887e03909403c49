"""A cascade equals plain Python in training and when detecting, and has the answers of any other detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from detect.config.builders.detector import build_detector
from detect.config.files import parse_config
from detect.models.detector import Detector
from detect.models.heads.cascade import mean_logits, refined_boxes
from detect.models.tta import AugmentedView, DetectorWithTTA
from detect.ops import boxes as box_ops
from detect.ops.matching import Matcher, match_all
from detect.types import Images, Proposals, Targets
from tests.models import reference_cascade as reference
from tests.models.test_detector import CLASSES, SIDE, SOME, images, random_pixels, same, sharpen, targets, total_loss

IOUS = (0.5, 0.6, 0.7)
WEIGHTS = ((10, 10, 5, 5), (20, 20, 10, 10), (30, 30, 15, 15))  # of the paper's code: 1 / delta_stds
STDS = (0.1, 0.1, 0.2, 0.2)
LOSSES = {f"region_{name}_{stage}" for name in ("class", "box") for stage in (1, 2, 3)}
RPN_LOSSES = {"rpn_objectness", "rpn_box"}
SIZE = (SIDE, SIDE - 8)
HEAD = {"type": "fc", "fc_dim": 32, "pool_size": 4, "batch_size_per_image": 16}
PRECOMPUTED = {"kind": "fast_rcnn", "proposals": "selective_search", "cascade": {"ious": IOUS}}
BODIES: dict[str, dict[str, Any]] = {
    "merged": {},
    "pyramid": {
        "backbone": {"name": "small", "output": "fpn", "fpn_levels": 3, "neck_channels": 16},
        "rpn": {"anchor_sizes": [12, 20, 32, 48]},
    },
    "own tail": {"backbone": {"name": "small"}, "head": {"batch_size_per_image": 16}},
    "svd": {"head": HEAD | {"svd_ranks": [8, 4]}},
    "deltas of each class": {"head": HEAD | {"class_agnostic": False}},
    "precomputed": PRECOMPUTED,
}


def build(**settings: Any) -> Detector:
    """Return a cascade whose weights move the boxes of every stage by some pixels."""
    model = {
        "kind": "cascade_rcnn",
        "backbone": {"name": "small", "norm": "frozen", "output": "merged", "neck_channels": 16},
        "head": HEAD,
        "postprocess": {"score_threshold": 0.01},
        **settings,
    }
    rpn = {"channels": 16, "anchor_sizes": [12, 24, 48], "post_nms_top_n_train": 60, "post_nms_top_n_test": 40}
    model["rpn"] = rpn | {"allowed_border": None} | settings.get("rpn", {})
    detector = build_detector(parse_config({"seed": 1, "model": model}, "test"), CLASSES)[0]
    generator = torch.Generator().manual_seed(4)
    for name, parameter in detector.named_parameters():
        if name.endswith((".deltas.weight", ".logits.weight")) and name.startswith("head"):
            torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    return sharpen(detector)


def batch_for(detector: Detector, count: int) -> Images:
    """Return random images, with proposals for a detector without an RPN."""
    batch = images(random_pixels(count))
    if list(detector.get_submodule("proposer").parameters()):
        return batch
    generator = torch.Generator().manual_seed(5)
    proposals = []
    for _ in range(count):
        boxes = torch.rand(30, 2, 2, generator=generator).sort(1).values.reshape(-1, 4) * (SIDE - 10)
        proposals.append(Proposals(boxes + torch.tensor([0.0, 0, 2, 2]), torch.rand(30, generator=generator)))
    return Images(batch.pixels, batch.sizes, batch.seeds, tuple(proposals))


def with_proposals_near(truth: Sequence[Targets], batch: Images) -> Images:
    """Return the images with 40 proposals around each object, many with an IoU between those of two stages."""
    generator = torch.Generator().manual_seed(6)
    proposals = []
    for image_targets in truth:
        near = torch.cat([image_targets.boxes, torch.tensor([[2.0, 2, 20, 20]])]).repeat(40, 1).double()
        boxes = near + torch.randn(near.shape, generator=generator, dtype=torch.float64).clamp(-2, 2) * 4
        proposals.append(Proposals(boxes, torch.rand(len(boxes), generator=generator, dtype=torch.float64)))
    return Images(batch.pixels, batch.sizes, batch.seeds, tuple(proposals))


BOXES = torch.tensor([[4.0, 6, 30, 40], [30, 10, 54, 30]])


@pytest.mark.parametrize("boxes", [BOXES[:0], BOXES[:1], BOXES])
def test_refined_boxes_equal_plain_python(boxes: Tensor) -> None:
    deltas = torch.randn(len(boxes), 1, 4, generator=torch.Generator().manual_seed(0)) * 3
    actual = refined_boxes(boxes, torch.zeros(len(boxes), 3), deltas.requires_grad_(), STDS, 62.5, SIZE)
    rows = zip(boxes.tolist(), deltas[:, 0].tolist(), strict=True)
    expected = [reference.move(box, box_deltas, WEIGHTS[0], SIZE) for box, box_deltas in rows]
    torch.testing.assert_close(actual, torch.tensor(expected).reshape(-1, 4))
    assert not actual.requires_grad


@pytest.mark.parametrize(("labels", "chosen"), [(None, [1, 0]), ([0, 0], [1, 0]), ([1, 0], [0, 0]), ([2, 2], [1, 1])])
def test_deltas_of_each_class_are_those_of_the_true_or_the_best_class(
    labels: list[int] | None, chosen: list[int]
) -> None:
    logits = torch.tensor([[9.0, 1, 2], [0, 4, 3]])
    deltas = torch.arange(16.0).reshape(2, 2, 4) / 10
    known = None if labels is None else torch.tensor(labels)
    alone = refined_boxes(BOXES, logits, deltas[[0, 1], chosen][:, None], STDS, None, (999, 999))
    assert torch.equal(refined_boxes(BOXES, logits, deltas, STDS, None, (999, 999), known), alone)


def test_mean_logits_have_the_mean_scores_or_are_means() -> None:
    one, two = torch.tensor([[1.0, 2, 3], [0, 0, 0]]), torch.tensor([[0.0, -500, 500], [5, 1, 1]])
    assert mean_logits([one], "scores") is mean_logits([one], "logits") is one
    torch.testing.assert_close(mean_logits([one, two, two], "logits"), (one + 2 * two) / 3)
    mean = mean_logits([one, two, two], "scores")
    assert mean.isfinite().all()
    torch.testing.assert_close(mean.softmax(1), (one.softmax(1) + 2 * two.softmax(1)) / 3)


def test_match_all_leaves_out_empty_and_ignored_boxes_alone() -> None:
    crowd = Targets(BOXES, torch.tensor([1, 2]), torch.zeros(2, dtype=torch.bool), torch.tensor([False, True]))
    inside_crowd = [32.0, 12, 40, 20]
    boxes = torch.tensor([[5.0, 6, 30, 40], [5, 6, 5, 40], inside_crowd, [0, 0, 9, 9]])
    matcher = Matcher(0.7, (0.0, 0.7))
    assert [len(samples) for samples in match_all(matcher, [boxes[:0]], [crowd])] == [0]
    empty, samples, without_targets = match_all(matcher, [boxes[:0], boxes, boxes], [crowd, crowd, targets()])
    assert len(empty) == 0
    assert torch.equal(samples.boxes, boxes[[0, 3]])
    assert samples.labels.tolist() == [1, 0]
    assert torch.equal(samples.matched_boxes[0], BOXES[0])
    assert without_targets.labels.tolist() == [0, 0, 0]


@pytest.mark.parametrize("truth", [[targets()], [SOME, targets()], [SOME, targets((1, 1, 50, 60))]])
@pytest.mark.parametrize("class_agnostic", [True, False])
def test_losses_equal_plain_python(class_agnostic: bool, truth: list[Targets]) -> None:
    detector = build(**PRECOMPUTED, head=HEAD | {"class_agnostic": class_agnostic, "batch_size_per_image": 40}).double()
    for stage in detector.head.stages:
        stage.deltas.weight.data.mul_(0.3)
    batch = with_proposals_near(truth, images(random_pixels(len(truth)).double()))
    losses = detector(batch, truth)
    assert set(losses) == LOSSES
    with torch.no_grad():
        maps = detector.backbone(batch.pixels)
        proposals = detector.proposer(batch, maps, detector.head_training.selection).proposals
        sampled = detector.head_training.sampler.sample(proposals, truth, batch.seeds)
    boxes = [sample.boxes.tolist() for sample in sampled]
    undecided = 0
    for number, (iou, weights) in enumerate(zip(IOUS, WEIGHTS, strict=True), start=1):
        tensors = [torch.tensor(rows, dtype=torch.float64).reshape(-1, 4) for rows in boxes]
        with torch.no_grad():
            logits, deltas = detector.head.stages[number - 1](detector.regions(batch, maps, tensors))
        all_rows = [row for rows in boxes for row in rows]
        labels, matched = reference.match_images(boxes, truth, iou)
        own, moving = reference.deltas_of(logits.tolist(), deltas.tolist(), labels)
        class_loss, box_loss = reference.stage_losses(logits.tolist(), own, all_rows, labels, matched, weights)
        assert losses[f"region_class_{number}"].count == len(all_rows)
        assert losses[f"region_class_{number}"].value.item() == pytest.approx(class_loss, abs=1e-9)
        assert losses[f"region_box_{number}"].value.item() == pytest.approx(box_loss, abs=1e-9)
        undecided += sum(a != b for a, b in zip(labels, reference.match_images(boxes, truth, 0.5)[0], strict=True))
        moves = iter(moving)
        boxes = [[reference.move(box, next(moves), weights, SIZE) for box in rows] for rows in boxes]
        boxes = [[box for box in rows if box[0] < box[2] and box[1] < box[3]] for rows in boxes]
    assert bool(undecided) == any(len(image_targets) for image_targets in truth)


def test_detections_have_mean_scores_and_the_boxes_of_the_last_stage() -> None:
    detector = build().double().eval()
    batch = images(random_pixels(2).double())
    with torch.no_grad():
        maps = detector.backbone(batch.pixels)
        proposals = detector.proposer(batch, maps, detector.test_selection).proposals
        outputs = detector.run_head(batch, maps, proposals)
        boxes = [proposal.boxes.tolist() for proposal in proposals]
        scores: list[list[list[float]]] = []
        for stage, weights in zip(detector.head.stages, WEIGHTS, strict=True):
            tensors = [torch.tensor(rows, dtype=torch.float64) for rows in boxes]
            logits, deltas = stage(detector.regions(batch, maps, tensors))
            scores.append([reference.softmax(row) for row in logits.tolist()])
            moved = iter(deltas[:, 0].tolist())
            boxes = [[reference.move(box, next(moved), weights, SIZE) for box in rows] for rows in boxes]
    means = torch.tensor(scores).double().mean(0)
    first = 0
    for i in range(2):
        candidates = detector.postprocess.candidates(
            outputs.proposals[i], outputs.logits[i], outputs.deltas[i], batch.sizes[i]
        )
        assert candidates.proposal_index is not None
        assert len(candidates) > 10
        expected = torch.tensor(boxes[i], dtype=torch.float64)[candidates.proposal_index]
        torch.testing.assert_close(candidates.boxes, expected)
        image_means = means[first : first + len(boxes[i])]
        torch.testing.assert_close(
            candidates.scores, image_means[candidates.proposal_index, candidates.labels], atol=1e-6, rtol=0
        )
        assert len(candidates) == int((image_means[:, 1:] >= 0.01).sum())  # no box is lost between the stages
        first += len(boxes[i])


def gradient(loss: Tensor, *inputs: Tensor) -> Sequence[Tensor | None]:
    return torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True)


def test_no_gradient_flows_through_refined_boxes() -> None:
    detector = build()
    losses = detector(images(random_pixels(2)), [SOME, SOME])
    stages = detector.head.stages
    for number in (1, 2, 3):
        for name in ("class", "box"):
            loss = losses[f"region_{name}_{number}"].value
            of_layers = gradient(loss, *(next(stage.tail.parameters()) for stage in stages))
            assert [i for i, value in enumerate(of_layers, 1) if value is not None] == [number]
        (of_deltas,) = gradient(losses["region_class_3"].value, stages[number - 1].deltas.weight)
        assert of_deltas is None


def test_each_stage_sends_a_third_of_its_gradient_to_the_maps() -> None:
    detector, batch = build(), images(random_pixels(1))
    (maps,) = (tensor.detach().requires_grad_() for tensor in detector.backbone(batch.pixels))
    loss = detector(batch, [SOME], [maps])["region_class_1"].value
    scaled, weight = gradient(loss, maps, detector.head.stages[0].logits.weight)
    (samples,) = detector.head_training.sampler.sample(
        detector.proposer(batch, [maps], detector.head_training.selection).proposals, [SOME], batch.seeds
    )
    logits, _ = detector.head.stages[0](detector.regions(batch, [maps], [samples.boxes]))
    whole, own = gradient(
        torch.nn.functional.cross_entropy(logits, samples.labels), maps, detector.head.stages[0].logits.weight
    )
    assert scaled is not None
    assert whole is not None
    torch.testing.assert_close(scaled, whole / 3)
    torch.testing.assert_close(weight, own)


@pytest.mark.parametrize("body", BODIES)
def test_every_body_neck_and_proposer_trains_and_detects(body: str) -> None:
    detector = build(**BODIES[body]).train()
    batch = batch_for(detector, 2)
    losses = detector(batch, [SOME, targets()])
    assert set(losses) - RPN_LOSSES == LOSSES
    total_loss(detector, batch, [SOME, targets()]).backward()
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    learning, resting = detector.detect(batch), detector.eval().detect(batch)
    for detections, other in zip(learning, resting, strict=True):
        same(detections, other, 0.0)
        assert len(other) > 0
    alone = batch_for(detector, 1)
    same(detector.detect(alone)[0], resting[0], 1e-4)


def test_stages_have_weights_of_their_own_that_begin_with_the_networks() -> None:
    tails = [stage.tail for stage in build(**BODIES["own tail"]).head.stages]
    first, *others = (list(tail.parameters()) for tail in tails)
    assert first
    for other in others:
        assert all(torch.equal(a, b) and a is not b for a, b in zip(first, other, strict=True))


def test_without_proposals_losses_are_zero_with_gradients() -> None:
    detector = build(**PRECOMPUTED)
    empty = Proposals(torch.zeros(0, 4), torch.zeros(0))
    batch = Images(random_pixels(1), (SIZE,), (0,), (empty,))
    losses = detector(batch, [targets()])
    assert {name: loss.value.item() for name, loss in losses.items()} == dict.fromkeys(LOSSES, 0.0)
    total_loss(detector, batch, [targets()]).backward()
    assert all(parameter.grad is not None for parameter in detector.get_submodule("head").parameters())
    assert len(detector.detect(batch)[0]) == 0


@pytest.mark.parametrize(
    ("frozen", "left"),
    [
        ([], LOSSES),
        (["head"], set()),
        (["tail"], LOSSES),
        (["classifier"], {name for name in LOSSES if "box" in name}),
        (["backbone", "tail", "box_regressor"], {name for name in LOSSES if "class" in name}),
    ],
)
def test_frozen_parts_are_those_of_every_stage(frozen: list[str], left: set[str]) -> None:
    detector = build()
    detector.freeze(frozen)
    losses = detector.train()(images(random_pixels(1)), [SOME])
    assert set(losses) == left | RPN_LOSSES
    sum((loss.value for loss in losses.values()), torch.zeros(())).backward()
    fixed = {parameter for module in detector.modules_of(frozen) for parameter in module.parameters()}
    assert len(fixed) == 0 if not frozen else len(fixed) >= 6
    for name, parameter in detector.named_parameters():
        assert (parameter.grad is None) == (parameter in fixed), name


@pytest.mark.parametrize("merge", ["wbf", "nms"])
def test_a_cascade_detects_with_test_time_augmentation(merge: Any) -> None:
    detector = build(**PRECOMPUTED).eval()
    batch = batch_for(detector, 2)
    plain, doubled = DetectorWithTTA(detector, [AugmentedView()], "nms"), [AugmentedView(), AugmentedView(hflip=True)]
    for detections, other in zip(plain.detect(batch), detector.detect(batch), strict=True):
        same(detections, other, 1e-6)
    for detections in DetectorWithTTA(detector, doubled, merge).detect(batch):
        assert len(detections) > 0
        same_label = detections.labels[:, None] == detections.labels
        overlaps = (box_ops.iou(detections.boxes, detections.boxes) * same_label).fill_diagonal_(0)
        assert merge == "wbf" or float(overlaps.max()) <= detector.postprocess.nms_iou
