"""Mined SVMs against one trained on everything; the same bits wherever the run was cut."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from detect.errors import UserError
from detect.training.svm.examples import feature_scale
from detect.training.svm.hard_negatives import NEVER, Mining, MiningRule
from detect.training.svm.linear_svm import SvmRule, fit_svm
from detect.training.svm.state import MiningState, read_state, write_state
from tests.training.svm.world import CLASSES, LENGTH, World, world

# a cost at which 600 regions weigh what a data set's do; few new ones between two trainings
RULE = MiningRule(SvmRule(cost=0.02), retrain=20)


def mining(found: World, state: MiningState | None = None, rule: MiningRule = RULE) -> Mining:
    return Mining(found.features, found.roles, CLASSES, LENGTH, feature_scale(found.features), rule, state)


def mined(found: World) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    whole = mining(found)
    assert list(whole.run()) == list(range(1, len(found.features) + 1))
    return whole.svms()


def everything(found: World, label: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The positives of a class and all its negatives."""
    rows = np.concatenate(found.features)
    labels = np.concatenate([roles.labels for roles in found.roles])
    overlaps = np.concatenate([roles.overlaps for roles in found.roles])
    return rows[labels == label], rows[overlaps[:, label - 1] < 0.3]


def objective(
    weight: NDArray[np.floating], bias: float, positives: NDArray[np.floating], negatives: NDArray[np.floating]
) -> float:
    """What the paper's SVM minimises, for scaled rows; the bias is the weight of a constant 10."""
    loss = 2 * np.maximum(0, 1 - (positives @ weight + bias)).sum() + np.maximum(0, 1 + negatives @ weight + bias).sum()
    return float(0.5 * weight @ weight + 0.5 * (bias / 10) ** 2 + RULE.svm.cost * loss)


def descended(positives: NDArray[np.floating], negatives: NDArray[np.floating]) -> tuple[NDArray[np.floating], float]:
    """The hinge loss's optimum by subgradient descent: slow, and nobody's library."""
    rows = np.concatenate([positives, negatives]).astype(np.float64)
    rows = np.pad(rows, ((0, 0), (0, 1)), constant_values=10.0)
    signs = np.repeat([1.0, -1.0], [len(positives), len(negatives)])
    costs = RULE.svm.cost * np.where(signs > 0, 2.0, 1.0)
    best, best_value = np.zeros(rows.shape[1]), float("inf")
    weight = best.copy()
    for step in range(1, 6000):
        slack = 1 - signs * (rows @ weight)
        value = float(0.5 * weight @ weight + costs @ np.maximum(0, slack))
        if value < best_value:
            best, best_value = weight.copy(), value
        weight = weight - (weight - (costs * signs * (slack > 0)) @ rows) / (step + 300)
    return best[:-1], float(best[-1] * 10)


def test_no_images_have_no_svms() -> None:
    weight, bias = mined(world(0))
    assert weight.shape == (CLASSES, LENGTH)
    assert not weight.any()
    assert (bias == NEVER).all()


@pytest.mark.parametrize("label", [1, 2])
def test_one_svm_is_at_the_optimum(label: int) -> None:
    found = world(14)
    positives, negatives = everything(found, label)
    scale = feature_scale(found.features)
    weight, bias = fit_svm(positives, negatives, scale, RULE.svm)
    scaled = positives.astype(np.float64) * scale, negatives.astype(np.float64) * scale
    ours = objective(weight.astype(np.float64) / scale, float(bias), *scaled)
    slow = objective(*descended(*scaled), *scaled)
    assert ours == pytest.approx(slow, rel=0.01)
    assert ours < slow * 1.001


def values(found: World, weight: NDArray[np.floating], bias: NDArray[np.floating]) -> list[tuple[float, float]]:
    """Of each class the objective over all regions, and the least there is."""
    scale = feature_scale(found.features)
    both = []
    for place in range(CLASSES):
        positives, negatives = everything(found, place + 1)
        scaled = positives.astype(np.float64) * scale, negatives.astype(np.float64) * scale
        svms = (weight[place], bias[place]), fit_svm(positives, negatives, scale, RULE.svm)
        own, least = (objective(w.astype(np.float64) / scale, float(b), *scaled) for w, b in svms)
        both.append((own, least))
    return both


def test_mining_ends_near_the_svm_trained_on_everything() -> None:
    found = world(120)
    start = mining(found)
    next(start.run())
    ends = values(found, *mined(found)), values(found, *start.svms())
    for (own, least), (first, _) in zip(*ends, strict=True):
        assert own < 1.1 * least  # one pass does not see again what became hard later
        assert own - least < 0.1 * (first - least)  # first: taught by the negatives of one image


def test_mining_that_keeps_every_negative_is_training_on_everything() -> None:
    found = world(20)
    run = mining(found, rule=MiningRule(RULE.svm, hard=-99.0, evict=-99.0))
    list(run.run())
    for own, least in values(found, *run.svms()):
        assert own == pytest.approx(least, rel=1e-3)


def test_few_negatives_are_held() -> None:
    found = world(40)
    run = mining(found)
    largest = max(sum(map(len, run.negatives)) for _ in run.run())
    everywhere = sum(len(everything(found, label)[1]) for label in range(1, CLASSES + 1))
    assert 0 < largest < everywhere / 2


def test_what_is_kept_is_a_hard_negative_of_its_class_once() -> None:
    found = world(30)
    run = mining(found)
    list(run.run())
    weight, bias = run.svms()
    for place, keys in enumerate(run.state().negatives):
        assert len(keys) > 0
        assert len(np.unique(keys, axis=0)) == len(keys)
        for image, row in keys:
            assert found.roles[image].overlaps[row, place] < 0.3
            assert found.features[image][row].astype(np.float32) @ weight[place] + bias[place] >= -1.2 - 1e-4


@pytest.mark.parametrize("cut", [0, 1, 2, 6, 7, 13, 19, 20])
def test_a_cut_run_ends_with_the_same_bits(cut: int, tmp_path: Path) -> None:
    found = world(20)
    first = mining(found)
    for _ in islice(first.run(), cut):
        pass
    write_state(tmp_path / "state.npz", first.state())
    second = mining(found, read_state(tmp_path / "state.npz"))
    assert second.done == cut
    list(second.run())
    for one, other in zip(mined(found), second.svms(), strict=True):
        assert one.tobytes() == other.tobytes()
    assert all(
        np.array_equal(one, other)
        for one, other in zip(first.state().negatives, read_state(tmp_path / "state.npz").negatives, strict=True)
    )


@pytest.mark.parametrize("absent", [1, 3])
def test_a_class_without_objects_is_never_seen(absent: int) -> None:
    found = world(8, absent=absent)
    weight, bias = mined(found)
    assert (bias == NEVER).nonzero()[0].tolist() == [absent - 1]
    assert not weight[absent - 1].any()
    run = mining(found)
    list(run.run())
    assert len(run.negatives[absent - 1]) == 0


def test_a_image_of_which_nothing_is_a_negative_waits_for_the_next() -> None:
    found = world(3)
    found.roles[0].overlaps[:] = 1.0
    run = mining(found)
    steps = run.run()
    next(steps)
    assert not run.trained.any()
    next(steps)
    assert run.trained[[len(rows) > 0 for rows in run.positives]].all()


def test_the_same_images_give_the_same_bits() -> None:
    found = world(20)
    assert all(np.array_equal(one, other) for one, other in zip(mined(found), mined(found), strict=True))


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", None])
def test_a_state_that_is_none_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="expected the state of a mining of negatives, found"):
        read_state(path)


def test_a_state_before_the_first_image_is_kept(tmp_path: Path) -> None:
    write_state(tmp_path / "state.npz", MiningState.fresh(CLASSES, LENGTH))
    state = read_state(tmp_path / "state.npz")
    assert (state.done, state.weight.shape, len(state.negatives)) == (0, (CLASSES, LENGTH), CLASSES)
