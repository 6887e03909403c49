from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch.nn import functional

from detect.models.backbones.convolutions import ConvType
from detect.models.proposers.candidates import UNIT_STDS
from detect.models.proposers.proposer import ProposalSelection
from detect.models.proposers.rpn import RPN, AnchorStride, LossAverage, RPNTraining
from detect.models.proposers.rpn_head import RPNHead
from detect.ops import boxes as box_ops
from detect.ops.anchors import AnchorGenerator
from detect.ops.matching import Matcher
from detect.types import Images, Size, Targets

Box = tuple[float, float, float, float]
Stds = tuple[float, float, float, float]
STRIDE, CANVAS = 16, (64, 96)
SHAPES = AnchorGenerator(((16.0, 40.0),), (0.5, 1.0))
ALL = ProposalSelection(pre_nms_top_n=10000, post_nms_top_n=10000, nms_iou=1.0)


def rpn(
    outside: float | None = None,
    batch_size: int = 10000,
    box_weight: float = 1.0,
    sharp: bool = True,
    average: LossAverage = "image",
    delta_stds: Stds = UNIT_STDS,
    apply_deltas: bool = True,
    random_rank: bool = False,
) -> RPN:
    """Return an RPN whose weights are large enough for varied scores; by default all anchors train."""
    torch.manual_seed(0)
    head = RPNHead(in_channels=3, channels=8, num_anchors=4)
    if sharp:
        for layer in (head.conv, head.objectness, head.deltas):
            torch.nn.init.normal_(layer.get_parameter("weight"), std=0.2)
    matcher = Matcher(0.6, (0.0, 0.3), allow_low_quality_matches=True)
    return RPN(
        head,
        SHAPES,
        (STRIDE,),
        RPNTraining(matcher, batch_size, 0.5, outside, 1 / 9, box_weight, average),
        delta_stds=delta_stds,
        apply_deltas=apply_deltas,
        random_rank=random_rank,
    )


def batch(sizes: Sequence[Size] = (CANVAS, (50, 70))) -> tuple[Images, list[torch.Tensor]]:
    maps = torch.randn(len(sizes), 3, 4, 6, generator=torch.Generator().manual_seed(1))
    images = Images(torch.zeros(len(sizes), 3, *CANVAS), tuple(sizes), tuple(range(len(sizes))))
    return images, [maps]


def targets(boxes: Sequence[Box]) -> Targets:
    flags = torch.zeros(len(boxes), dtype=torch.bool)
    return Targets(torch.tensor(boxes).reshape(-1, 4), torch.ones(len(boxes), dtype=torch.int64), flags, flags)


@pytest.mark.parametrize(
    "selection", [ALL, ProposalSelection(40, 20, 0.5), ProposalSelection(3, 100), ProposalSelection(1000, 1)]
)
def test_proposals_are_limited_sorted_and_inside_the_image(selection: ProposalSelection) -> None:
    images, maps = batch()
    proposed = rpn()(images, maps, selection)
    assert len(proposed.proposals) == 2
    for proposals, (height, width) in zip(proposed.proposals, images.sizes, strict=True):
        assert 0 < len(proposals) <= min(selection.post_nms_top_n, selection.pre_nms_top_n)
        assert (proposals.scores.diff() <= 0).all()
        assert ((proposals.scores > 0) & (proposals.scores < 1)).all()
        assert (proposals.boxes >= 0).all()
        assert (proposals.boxes[:, 2] <= width).all()
        assert (proposals.boxes[:, 3] <= height).all()
        assert box_ops.is_not_empty(proposals.boxes).all()
        overlaps = box_ops.iou(proposals.boxes, proposals.boxes).triu(1)
        assert float(overlaps.max()) <= selection.nms_iou + 1e-6


def test_pre_nms_top_n_selects_the_best() -> None:
    images, maps = batch()
    proposed = rpn()(images, maps, ProposalSelection(5, 100, 1.0))
    best = proposed.raw.logits[0].sigmoid().topk(5).values
    torch.testing.assert_close(proposed.proposals[0].scores, best)


def test_proposals_have_the_index_of_their_anchor() -> None:
    images, maps = batch()
    proposed = rpn()(images, maps, ALL)
    for image, proposals in enumerate(proposed.proposals):
        source = proposals.source_index
        assert source is not None
        moved = box_ops.decode(proposed.raw.deltas[image, source], proposed.raw.anchors[source], (1.0, 1.0, 1.0, 1.0))
        torch.testing.assert_close(proposals.boxes, box_ops.clip(moved, images.sizes[image]))
        torch.testing.assert_close(proposals.scores, proposed.raw.logits[image, source].sigmoid())


def test_delta_stds_multiply_the_deltas_of_proposals() -> None:
    images, maps = batch([CANVAS])
    stds = (0.5, 0.25, 0.1, 0.2)
    detector = rpn(delta_stds=stds)
    proposed = detector(images, maps, ALL)
    source = proposed.proposals[0].source_index
    assert source is not None
    moved = box_ops.decode(proposed.raw.deltas[0, source], proposed.raw.anchors[source], stds)
    torch.testing.assert_close(proposed.proposals[0].boxes, box_ops.clip(moved, CANVAS))


def test_without_deltas_the_anchors_are_the_proposals() -> None:
    images, maps = batch([CANVAS])
    proposed = rpn(apply_deltas=False)(images, maps, ALL)
    source = proposed.proposals[0].source_index
    assert source is not None
    assert len(source) == 4 * 6 * 4
    torch.testing.assert_close(proposed.proposals[0].boxes, box_ops.clip(proposed.raw.anchors[source], CANVAS))
    torch.testing.assert_close(proposed.proposals[0].scores, proposed.raw.logits[0, source].sigmoid())


@pytest.mark.slow
def test_random_rank_draws_anchors_whatever_their_objectness() -> None:
    images, maps = batch([CANVAS])
    detector, selection = rpn(random_rank=True, apply_deltas=False), ProposalSelection(10000, 10, 1.0)
    counts = torch.zeros(4 * 6 * 4)
    for seed in range(1000):
        proposals = detector(Images(images.pixels, images.sizes, (seed,)), maps, selection).proposals[0]
        assert proposals.source_index is not None
        counts[proposals.source_index] += 1
        assert ((proposals.scores.diff() <= 0) & (proposals.scores[1:] < 1)).all()
    assert counts.sum() == 10000
    assert (counts - 10000 / 96).abs().max() < 45  # 4.7 standard deviations


@pytest.mark.parametrize("other", [[], [CANVAS], [CANVAS, (30, 96)]])
def test_random_rank_does_not_depend_on_the_batch(other: list[Size]) -> None:
    size = (64, 64)
    detector, selection = rpn(random_rank=True, apply_deltas=False), ProposalSelection(20, 8, 1.0)
    images = Images(torch.zeros(1, 3, *size), (size,), (7,))
    alone = detector(images, [torch.randn(1, 3, 4, 4)], selection).proposals[0]
    sizes = (*other, size)
    batched = Images(torch.zeros(len(sizes), 3, *CANVAS), sizes, (*range(len(other)), 7))
    last = detector(batched, [torch.randn(len(sizes), 3, 4, 6)], selection).proposals[-1]
    assert torch.equal(last.boxes, alone.boxes)
    assert torch.equal(last.scores, alone.scores)
    assert len(alone) == 8
    again = detector(Images(images.pixels, images.sizes, (8,)), [torch.randn(1, 3, 4, 4)], selection).proposals[0]
    assert not torch.equal(again.boxes, alone.boxes)


@pytest.mark.parametrize("side", [0.0, 20.0, 1000.0])
def test_small_proposals_are_dropped(side: float) -> None:
    images, maps = batch()
    proposals = rpn()(images, maps, ProposalSelection(10000, 10000, 1.0, side)).proposals[0]
    assert (len(proposals) == 0) == (side == 1000.0)
    assert box_ops.is_not_empty(proposals.boxes, side).all()


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_low_scoring_proposals_are_dropped(score: float) -> None:
    images, maps = batch()
    proposals = rpn()(images, maps, ProposalSelection(10000, 10000, 1.0, 0.0, score)).proposals[0]
    everything = rpn()(images, maps, ALL).proposals[0]
    torch.testing.assert_close(proposals.scores, everything.scores[everything.scores >= score])
    assert (len(proposals) == 0) == (score == 1.0)


@pytest.mark.parametrize(("spacing", "steps"), [("stride", (64, 64)), ("canvas", (53, 48))])
def test_anchor_stride_is_the_map_stride_or_canvas_per_cell(spacing: AnchorStride, steps: Size) -> None:
    shapes, head = AnchorGenerator(((16.0,),), (1.0,), offset=0.0), RPNHead(in_channels=3, channels=4, num_anchors=1)
    images, maps = Images(torch.zeros(1, 3, 160, 96), ((160, 96),), (0,)), [torch.randn(1, 3, 3, 2)]
    training = RPNTraining(Matcher(0.5, (0.0, 0.5)))
    anchors = RPN(head, shapes, (64,), training, spacing)(images, maps, ALL).raw.anchors.view(3, 2, 4)
    assert (anchors[1, 0] - anchors[0, 0]).tolist() == [0, steps[0], 0, steps[0]]
    assert (anchors[0, 1] - anchors[0, 0]).tolist() == [steps[1], 0, steps[1], 0]


def test_num_convs_adds_convolutions() -> None:
    torch.manual_seed(0)
    head = RPNHead(in_channels=3, channels=8, num_anchors=2, num_convs=3)
    assert len(head.more_convs) == 2
    features = torch.randn(1, 3, 4, 6)
    logits, deltas = head(features)
    assert (logits.shape, deltas.shape) == ((1, 48), (1, 48, 4))
    hidden = features
    for layer in (head.conv, *head.more_convs):
        hidden = functional.relu(functional.conv2d(hidden, layer.weight, layer.bias, padding=1))
    torch.testing.assert_close(logits, head.objectness(hidden).permute(0, 2, 3, 1).flatten(1))


@pytest.mark.parametrize("kind", ["standard", "dilated", "separable", "grouped"])
@pytest.mark.parametrize("convolutions", [1, 2])
@pytest.mark.parametrize("cells", [[], [0, 47, 23, 23, 5, 24], range(48)])
def test_forward_at_equals_forward_in_outputs_and_gradients(
    kind: ConvType, convolutions: int, cells: Sequence[int]
) -> None:
    torch.manual_seed(0)
    head = RPNHead(6, 8, 2, convolutions, kind).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    maps, indices = torch.randn(2, 6, 4, 6, dtype=torch.float64, requires_grad=True), torch.tensor(cells).long()
    logits, deltas = head(maps)
    expected = logits.reshape(48, 2)[indices], deltas.reshape(48, 2, 4)[indices]
    actual = head.forward_at(maps, indices)
    gradients = []
    for sparse, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(sparse, other)
    for outputs in (actual, expected):
        head.zero_grad()
        maps.grad = None
        torch.autograd.backward(sum((sample.sin().sum() for sample in outputs), torch.zeros(())))
        gradients.append([each.grad for each in (maps, *head.parameters())])
    for sparse, other in zip(*gradients, strict=True):
        assert sparse is not None
        torch.testing.assert_close(sparse, other)


def test_proposals_carry_no_gradient() -> None:
    images, maps = batch()
    assert not rpn()(images, maps, ALL).proposals[0].boxes.requires_grad


def test_levels_do_not_suppress_each_other() -> None:
    """Two maps of one scene: each gives its best, and NMS does not compare them."""
    shapes = AnchorGenerator(((16.0,), (16.0,)), (1.0,))
    head = RPNHead(in_channels=3, channels=4, num_anchors=1)
    for layer in (head.objectness, head.deltas):
        torch.nn.init.zeros_(layer.weight)
    double = RPN(head, shapes, (16, 16), RPNTraining(Matcher(0.5, (0.0, 0.5))))
    images = Images(torch.zeros(1, 3, 32, 32), ((32, 32),), (0,))
    level = torch.randn(1, 3, 2, 2)
    proposed = double(images, [level, level], ProposalSelection(3, 100, 0.5))
    assert len(proposed.proposals[0]) == 6
    assert proposed.raw.counts == (4, 4)


TWO = [(4.0, 4, 26, 20), (50, 20, 90, 60)]


def dense_losses(
    detector: RPN, images: Images, maps: Sequence[torch.Tensor], truth: Sequence[Targets]
) -> dict[str, torch.Tensor]:
    """Return the plain RPN losses: one pass of the head over every cell with gradients, then the sampled anchors."""
    logits, deltas = (torch.cat(level, 1) for level in zip(*map(detector.head, maps), strict=True))
    anchors, objectness, box = detector(images, maps, ALL).raw.anchors, [], []
    for i, samples in enumerate(detector._sample_anchors(anchors, images, truth)):
        sampled = torch.cat([samples.foreground, samples.background])
        labels = torch.cat([torch.ones(len(samples.foreground)), torch.zeros(len(samples.background))]).to(logits)
        objectness.append(functional.binary_cross_entropy_with_logits(logits[i, sampled], labels))
        foreground_deltas = deltas[i, samples.foreground]
        box_sum = functional.smooth_l1_loss(foreground_deltas, samples.target_deltas, beta=1 / 9, reduction="sum")
        box.append(box_sum / len(sampled))
    return {"rpn_objectness": torch.stack(objectness).mean(), "rpn_box": torch.stack(box).mean()}


@pytest.mark.parametrize("num_maps", [1, 2])
@pytest.mark.parametrize("once", [False, True])  # True: as on a GPU
def test_losses_and_gradients_equal_those_of_the_dense_loss(
    num_maps: int, once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detect.models.proposers.rpn.runs_head_once", lambda _: once)
    torch.manual_seed(0)
    head = RPNHead(in_channels=3, channels=8, num_anchors=4, num_convs=2).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    anchors = AnchorGenerator(((16.0, 40.0),) * num_maps, (0.5, 1.0))
    config = RPNTraining(Matcher(0.6, (0.0, 0.3), allow_low_quality_matches=True), batch_size_per_image=16)
    detector = RPN(head, anchors, (STRIDE, 2 * STRIDE)[:num_maps], config)
    maps = [torch.randn(2, 3, 4 // step, 6 // step, dtype=torch.float64) for step in (1, 2)[:num_maps]]
    images = Images(torch.zeros(2, 3, *CANVAS), (CANVAS, (50, 70)), (3, 4))
    truth = [targets(TWO), targets(TWO[:1])]

    sparse = {
        name: loss.value for name, loss in detector.losses(detector(images, maps, ALL).raw, images, truth).items()
    }
    gradients = []
    for losses in (sparse, dense_losses(detector, images, maps, truth)):
        head.zero_grad()
        torch.autograd.backward(losses["rpn_objectness"] + losses["rpn_box"])
        gradients.append({name: parameter.grad for name, parameter in head.named_parameters()})
    for name, loss in dense_losses(detector, images, maps, truth).items():
        torch.testing.assert_close(sparse[name], loss)
    torch.testing.assert_close(*gradients)


def losses_by_loop(
    detector: RPN,
    images: Images,
    maps: list[torch.Tensor],
    truth: list[list[Box]],
    border: float | None,
    average: LossAverage = "image",
    stds: Stds = UNIT_STDS,
) -> tuple[float, float]:
    """Both losses, anchor by anchor; all anchors with a role train, so nothing is drawn."""
    raw = detector(images, maps, ALL).raw
    anchors = [tuple(row) for row in raw.anchors.tolist()]
    sums: list[tuple[float, float, float]] = []
    for image, boxes in enumerate(truth):
        height, width = images.sizes[image]
        reach = math.inf if border is None else border
        usable = [
            index
            for index, (x1, y1, x2, y2) in enumerate(anchors)
            if x1 >= -reach and y1 >= -reach and x2 <= width + reach and y2 <= height + reach
        ]
        best = [max((overlap(anchors[index], box) for index in usable), default=0.0) for box in boxes]
        class_loss = box_loss = count = 0.0
        for index in usable:
            overlaps = [overlap(anchors[index], box) for box in boxes]
            top = max(overlaps, default=0.0)
            keep = any(sample == limit > 0 for sample, limit in zip(overlaps, best, strict=True))
            if not (top >= 0.6 or keep or top < 0.3):
                continue
            count += 1
            logit = raw.logits[image, index].item()
            if top >= 0.6 or keep:
                class_loss += math.log1p(math.exp(-logit))
                expected = deltas(boxes[overlaps.index(top)], anchors[index])
                for actual, value, std in zip(raw.deltas[image, index].tolist(), expected, stds, strict=True):
                    off = abs(actual - value / std)
                    box_loss += 0.5 * off * off * 9 if off < 1 / 9 else off - 0.5 / 9
            else:
                class_loss += math.log1p(math.exp(logit))
        sums.append((class_loss, box_loss, count))
    if average == "batch":
        sums = [
            (sum(sample[0] for sample in sums), sum(sample[1] for sample in sums), sum(sample[2] for sample in sums))
        ] * len(truth)
    means = [(sample / count, other / count) if count else (0.0, 0.0) for sample, other, count in sums]
    return sum(sample for sample, _ in means) / len(truth), sum(other for _, other in means) / len(truth)


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def deltas(box: tuple[float, ...], anchor: tuple[float, ...]) -> tuple[float, ...]:
    w, h, wa, ha = box[2] - box[0], box[3] - box[1], anchor[2] - anchor[0], anchor[3] - anchor[1]
    x, y = (box[0] + box[2] - anchor[0] - anchor[2]) / 2, (box[1] + box[3] - anchor[1] - anchor[3]) / 2
    return x / wa, y / ha, math.log(w / wa), math.log(h / ha)


@pytest.mark.parametrize("outside", [None, 0.0, 8.0, -1000.0])
@pytest.mark.parametrize("truth", [[[], []], [TWO, []], [TWO, TWO[:1]]])
@pytest.mark.parametrize("average", ["image", "batch"])
@pytest.mark.parametrize("stds", [UNIT_STDS, (0.5, 0.25, 0.1, 0.2)])
def test_losses_equal_a_loop_over_anchors(
    truth: list[list[Box]], outside: float | None, average: LossAverage, stds: Stds
) -> None:
    images, maps = batch()
    detector = rpn(outside, box_weight=3.0, average=average, delta_stds=stds)
    means = detector.losses(detector(images, maps, ALL).raw, images, [targets(boxes) for boxes in truth])
    actual = {name: mean.value for name, mean in means.items()}
    objectness, box = losses_by_loop(detector, images, maps, truth, outside, average, stds)
    assert actual["rpn_objectness"].item() == pytest.approx(objectness, rel=1e-4, abs=1e-7)
    assert actual["rpn_box"].item() == pytest.approx(3.0 * box, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("outside", [None, 0.0])
@pytest.mark.parametrize("boxes", [[], TWO])
def test_losses_reach_the_head_with_and_without_targets(boxes: list[Box], outside: float | None) -> None:
    images, maps = batch()
    detector = rpn(outside)
    means = detector.losses(detector(images, maps, ALL).raw, images, [targets(boxes)] * 2)
    losses = {name: mean.value for name, mean in means.items()}
    total = losses["rpn_objectness"] + losses["rpn_box"]
    assert total.isfinite()
    torch.autograd.backward(total)
    assert detector.head.objectness.weight.grad is not None
    assert detector.head.objectness.weight.grad.any()
    assert detector.head.deltas.weight.grad is not None
    assert bool(detector.head.deltas.weight.grad.any()) == bool(boxes)


def test_sampled_anchors_depend_on_the_seed() -> None:
    images, maps = batch([CANVAS])
    detector = rpn(batch_size=8)
    raw = detector(images, maps, ALL).raw

    def loss(key: int) -> float:
        keyed = Images(images.pixels, images.sizes, (key,))
        return detector.losses(raw, keyed, [targets(TWO)])["rpn_objectness"].value.item()

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


def test_initial_objectness_is_one_half() -> None:
    images, maps = batch()
    raw = rpn(sharp=False)(images, maps, ALL).raw
    expected = functional.binary_cross_entropy_with_logits(torch.zeros(1), torch.zeros(1))
    fresh = functional.binary_cross_entropy_with_logits(raw.logits, torch.zeros_like(raw.logits))
    assert fresh.item() == pytest.approx(expected.item(), abs=0.01)
