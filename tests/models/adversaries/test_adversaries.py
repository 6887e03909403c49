"""Adversaries: whose losses reach whose weights, which masks are imitated, and the reversed gradient."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.models.adversaries.adversary import Adversary, AdversaryStep, ForegroundRegions, true_class_probability
from detect.models.adversaries.dropout import CellDraw, HardDropout, OcclusionNetwork, RandomDropout, imitation_loss
from detect.models.adversaries.rotation import (
    OcclusionAndRotation,
    RotationNetwork,
    reverse_gradient,
    rotate_groups,
)
from detect.models.heads.softmax import SoftmaxHead
from detect.models.heads.tails import TwoLayerFC
from detect.ops.region_masks import hide, window_masks
from detect.types import Samples

SIDE, CHANNELS, CLASSES = 5, 6, 3


def make_head(dropout: float = 0.0) -> SoftmaxHead:
    torch.manual_seed(1)
    tail = nn.Sequential(TwoLayerFC(CHANNELS, SIDE, 16), nn.Dropout(dropout))
    head = SoftmaxHead(tail, 16, CLASSES)
    nn.init.normal_(head.logits.weight, std=1.0)
    return head


def make_regions(count: int, requires_grad: bool = False) -> ForegroundRegions:
    generator = torch.Generator().manual_seed(2)
    return ForegroundRegions(
        maps=torch.randn(count, CHANNELS, SIDE, SIDE, generator=generator, requires_grad=requires_grad),
        labels=torch.arange(count) % CLASSES + 1,
        random_values=torch.rand(count, SIDE**2, generator=generator, dtype=torch.float64),
        num_samples=4 * count,
    )


def make_adversaries() -> dict[str, Adversary]:
    torch.manual_seed(3)
    return {
        "random_dropout": RandomDropout(CellDraw()),
        "hard_dropout": HardDropout(),
        "asdn": OcclusionNetwork(CHANNELS, 8, 2),
        "astn": RotationNetwork(CHANNELS, SIDE),
        "both": OcclusionAndRotation(OcclusionNetwork(CHANNELS, 8, 2), RotationNetwork(CHANNELS, SIDE)),
    }


ALL = list(make_adversaries())


def has_gradient(tensor: Tensor) -> bool:
    return tensor.grad is not None


def turn_angles(network: RotationNetwork) -> RotationNetwork:
    """Angles that are not 0, as they are at first."""
    last = network.localisation[-1]
    assert isinstance(last, nn.Conv2d)
    nn.init.normal_(last.weight, std=1.0)
    return network


@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("name", ALL)
def test_spoiled_regions_have_the_shape_of_the_regions(name: str, count: int) -> None:
    adversary, head = make_adversaries()[name], make_head()
    spoiled = adversary.spoil(head, make_regions(count))
    assert spoiled.maps.shape == (count, CHANNELS, SIDE, SIDE)
    losses = spoiled.losses | adversary.losses_alone(head, make_regions(count))
    assert all(loss.value.isfinite() for loss in losses.values())
    assert bool(losses) == adversary.learns == (name in ("asdn", "astn", "both"))


@pytest.mark.parametrize(("name", "hidden"), [("random_dropout", 8), ("hard_dropout", 4), ("asdn", 8)])
def test_adversaries_hide_whole_cells_and_as_many(name: str, hidden: int) -> None:
    regions = make_regions(4)
    spoiled = make_adversaries()[name].spoil(make_head(), regions).maps
    is_hidden = (spoiled == 0).all(1)
    assert is_hidden.sum((1, 2)).tolist() == [hidden] * 4
    assert torch.equal(spoiled, hide(regions.maps, is_hidden))


def test_hard_dropout_hides_the_window_of_the_lowest_probability() -> None:
    head, regions = make_head(dropout=0.5), make_regions(5)
    spoiled = HardDropout().spoil(head, regions).maps
    probability = true_class_probability(head, spoiled, regions.labels)
    windows = [true_class_probability(head, hide(regions.maps, w), regions.labels) for w in window_masks(SIDE)]
    torch.testing.assert_close(probability, torch.stack(windows).min(0).values)


def test_probability_is_that_of_detecting_and_leaves_the_modes() -> None:
    head, regions = make_head(dropout=0.5).train(), make_regions(4)
    head.tail[0].eval()  # type: ignore[index] # as a frozen part is
    modes = [module.training for module in head.modules()]
    first = true_class_probability(head, regions.maps, regions.labels)
    assert torch.equal(first, true_class_probability(head, regions.maps, regions.labels))
    assert [module.training for module in head.modules()] == modes
    expected = head.eval()(regions.maps)[0].softmax(1)[torch.arange(4), regions.labels]
    torch.testing.assert_close(first, expected)


@pytest.mark.parametrize("hurts", [[False, False, False], [True, False, True], [True, True, True]])
def test_only_masks_that_hurt_are_imitated(hurts: list[bool]) -> None:
    logits = torch.randn(3, SIDE, SIDE, requires_grad=True)
    masks = torch.rand(3, SIDE, SIDE) > 0.5
    imitation_loss(logits, masks, torch.tensor(hurts)).backward()
    assert logits.grad is not None
    assert [bool(gradient.any()) for gradient in logits.grad] == hurts
    expected = (logits.sigmoid() - masks.float()) / SIDE**2 * torch.tensor(hurts)[:, None, None]
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize("min_drop", [-1.0, -0.01, 0.0, 1.0])
def test_asdn_loss_is_that_of_masks_that_cost_enough(min_drop: float) -> None:
    head, regions = make_head(), make_regions(6)
    network = OcclusionNetwork(CHANNELS, 8, 2, min_drop=min_drop, weight=2.0)
    spoiled = network.spoil(head, regions)
    masks = (spoiled.maps == 0).all(1)
    before, after = (true_class_probability(head, maps, regions.labels) for maps in (regions.maps, spoiled.maps))
    total = 0.0
    for i in range(6):
        if before[i] - after[i] > min_drop:
            loss = functional.binary_cross_entropy_with_logits(network(regions.maps)[i], masks[i].float())
            total += float(loss.detach())
    assert float(spoiled.losses["adversary_mask"].value.detach()) == pytest.approx(2.0 * total / 24, abs=1e-6)
    assert (total == 0) == (min_drop == 1.0)


@pytest.mark.parametrize("name", ["asdn", "both"])
def test_losses_of_the_adversary_and_of_the_detector_stay_apart(name: str) -> None:
    """The imitation gives head and maps no gradient; the detector's loss gives the occlusion network none."""
    adversary, head, regions = make_adversaries()[name], make_head(), make_regions(6, requires_grad=True)
    occlusion = next(part for part in adversary.modules() if isinstance(part, OcclusionNetwork))
    occlusion.min_drop = -1.0
    spoiled = adversary.spoil(head, regions)
    spoiled.losses["adversary_mask"].value.backward(retain_graph=True)
    assert not any(map(has_gradient, (*head.parameters(), regions.maps)))
    assert all(map(has_gradient, occlusion.parameters()))
    occlusion.zero_grad(set_to_none=True)
    logits, _ = head(spoiled.maps)
    functional.cross_entropy(logits, regions.labels).backward()
    assert not any(map(has_gradient, occlusion.parameters()))
    assert all(map(has_gradient, (head.logits.weight, regions.maps)))


@pytest.mark.parametrize("name", ["asdn", "astn", "both"])
def test_lesson_gives_the_maps_and_a_frozen_head_no_gradient(name: str) -> None:
    adversary, head = make_adversaries()[name], make_head().requires_grad_(False)
    regional, samples = make_batch(3)
    regional.requires_grad_()
    losses = AdversaryStep(adversary, 0).losses_alone(head, regional, samples, (5, 6, 7))
    sum(loss.value for loss in losses.values()).backward()  # type: ignore[union-attr]
    assert regional.grad is None
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in adversary.parameters())


@pytest.mark.slow
def test_lesson_of_asdn_teaches_the_hardest_window() -> None:
    head, regions, network = make_head(), make_regions(8), OcclusionNetwork(CHANNELS, 16, 2)
    hardest = (HardDropout().spoil(head, regions).maps == 0).all(1)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        network.losses_alone(head, regions)["adversary_mask"].value.backward()
        optimizer.step()
    hiding = network.hiding(regions.maps)
    assert bool(((hiding > 0.5) == hardest).all())


def test_reversed_gradient_by_finite_differences() -> None:
    """The gradient that reaches the rotation network is that of the class loss with the other sign."""
    head = make_head().double()
    regions = make_regions(4)
    maps = regions.maps.double()
    network = turn_angles(RotationNetwork(CHANNELS, SIDE)).double()

    def loss(reverse: bool) -> Tensor:
        angles = network(maps)
        spoiled = rotate_groups(maps, reverse_gradient(angles) if reverse else angles)
        return functional.cross_entropy(head(spoiled)[0], regions.labels)

    assert torch.equal(loss(True), loss(False))
    loss(True).backward()
    last = network.localisation[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    for g in range(4):
        step, ends = 1e-6, []
        for sign in (1, -1):
            moved = copy.deepcopy(last.bias.detach())
            with torch.no_grad():
                last.bias[g] += sign * step
            ends.append(float(loss(False).detach()))
            with torch.no_grad():
                last.bias.copy_(moved)
        difference = (ends[0] - ends[1]) / (2 * step)
        assert last.bias.grad is not None
        assert float(last.bias.grad[g]) == pytest.approx(-difference, rel=1e-4, abs=1e-9)
        assert abs(difference) > 1e-6


def test_spoiled_regions_of_the_rotation_send_the_maps_the_true_gradient() -> None:
    network, regions = turn_angles(RotationNetwork(CHANNELS, SIDE)), make_regions(3, requires_grad=True)
    weight = torch.randn(3, CHANNELS, SIDE, SIDE)
    (network.spoil(make_head(), regions).maps * weight).sum().backward()
    constant = regions.maps.detach().clone().requires_grad_()
    (rotate_groups(constant, network(constant).detach()) * weight).sum().backward()
    assert regions.maps.grad is not None
    assert constant.grad is not None
    torch.testing.assert_close(regions.maps.grad, constant.grad)


def test_groups_turn_around_the_center_each_by_its_angle() -> None:
    maps = torch.randn(2, 6, 4, 4)
    quarter = math.pi / 2
    turned = rotate_groups(maps, torch.tensor([[0.0, quarter, -quarter, 2 * quarter]] * 2))
    groups = maps.tensor_split(4, 1)
    expected = [groups[0], groups[1].rot90(-1, (2, 3)), groups[2].rot90(1, (2, 3)), groups[3].rot90(2, (2, 3))]
    torch.testing.assert_close(turned, torch.cat(expected, 1), rtol=0, atol=1e-5)


def test_rotation_begins_with_none_and_never_passes_its_limit() -> None:
    torch.manual_seed(0)
    network, maps = RotationNetwork(CHANNELS, SIDE, max_angle=10.0), torch.randn(4, CHANNELS, SIDE, SIDE)
    assert not network(maps).any()
    torch.testing.assert_close(
        network.spoil(make_head(), make_regions(4)).maps, make_regions(4).maps, atol=1e-5, rtol=0
    )
    nn.init.normal_(network.localisation[-1].weight, std=1e3)  # type: ignore[arg-type]
    angles = network(maps).detach()
    assert angles.shape == (4, 4)
    assert float(angles.abs().max()) == pytest.approx(math.radians(10.0))


def make_batch(num_images: int) -> tuple[Tensor, list[Samples]]:
    generator = torch.Generator().manual_seed(4)
    labels = torch.tensor([2, 1, 0, 0])
    boxes = torch.zeros(4, 4)
    samples = [Samples(boxes, labels, boxes, torch.zeros(4, dtype=torch.int64)) for _ in range(num_images)]
    return torch.randn(4 * num_images, CHANNELS, SIDE, SIDE, generator=generator), samples


@pytest.mark.parametrize("num_images", [1, 2, 3])
@pytest.mark.parametrize("name", ALL)
def test_turns_spoil_foreground_of_every_second_image_and_change_places(name: str, num_images: int) -> None:
    adversary, head = make_adversaries()[name], make_head()
    for part in adversary.modules():
        if isinstance(part, RotationNetwork):
            turn_angles(part)
    regional, samples = make_batch(num_images)
    seeds = tuple(range(num_images))
    for batch in range(3):
        spoiled, _ = AdversaryStep(adversary, batch).spoil(head, regional, samples, seeds)
        changed = (spoiled != regional).flatten(1).any(1).view(num_images, 4)
        expected = [[(batch + i) % 2 == 1] * 2 + [False] * 2 for i in range(num_images)]
        assert changed.tolist() == expected


def test_draws_depend_on_the_image_alone() -> None:
    """The same image in another batch, beside other images, has the same cells hidden."""
    regional, samples = make_batch(3)
    adversary, head = RandomDropout(CellDraw()), make_head()
    all_spoiled = (
        AdversaryStep(adversary, 0).spoil(head, regional, samples, (7, 8, 9))[0].view(3, 4, CHANNELS, SIDE, SIDE)
    )
    alone = AdversaryStep(adversary, 1).spoil(head, regional[4:8], samples[1:2], (8,))[0]
    assert torch.equal(all_spoiled[1], alone)
