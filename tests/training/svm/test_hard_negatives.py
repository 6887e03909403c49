"""Mined SVMs against one trained on everything; the same bits wherever the run was cut."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from detect.errors import UserError
from detect.training.svm.examples import feature_scale
from detect.training.svm.hard_negatives import NEVER_FIRES, HardNegativeMining, MiningConfig
from detect.training.svm.linear_svm import SvmConfig, fit_svm
from detect.training.svm.state import MiningState, read_state, write_state
from tests.training.svm.fixtures_svm import CLASSES, LENGTH, SvmData, make_svm_data

# a cost at which 600 regions weigh what a data set's do; few new ones between two trainings
CONFIG = MiningConfig(SvmConfig(cost=0.02), retrain_every=20)


def start_mining(data: SvmData, state: MiningState | None = None, config: MiningConfig = CONFIG) -> HardNegativeMining:
    return HardNegativeMining(
        data.features, data.region_labels, CLASSES, LENGTH, feature_scale(data.features), config, state
    )


def mined_svms(data: SvmData) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mining = start_mining(data)
    assert list(mining.run()) == list(range(1, len(data.features) + 1))
    return mining.svms()


def all_examples(data: SvmData, label: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The positives of a class and all its negatives."""
    rows = np.concatenate(data.features)
    labels = np.concatenate([roles.labels for roles in data.region_labels])
    overlaps = np.concatenate([roles.overlaps for roles in data.region_labels])
    return rows[labels == label], rows[overlaps[:, label - 1] < 0.3]


def objective(
    weight: NDArray[np.floating], bias: float, positives: NDArray[np.floating], negatives: NDArray[np.floating]
) -> float:
    """What the paper's SVM minimises, for scaled rows; the bias is the weight of a constant 10."""
    loss = 2 * np.maximum(0, 1 - (positives @ weight + bias)).sum() + np.maximum(0, 1 + negatives @ weight + bias).sum()
    return float(0.5 * weight @ weight + 0.5 * (bias / 10) ** 2 + CONFIG.svm.cost * loss)


def subgradient_descent(
    positives: NDArray[np.floating], negatives: NDArray[np.floating]
) -> tuple[NDArray[np.floating], float]:
    """The hinge loss's optimum by subgradient descent: slow, and nobody's library."""
    rows = np.concatenate([positives, negatives]).astype(np.float64)
    rows = np.pad(rows, ((0, 0), (0, 1)), constant_values=10.0)
    signs = np.repeat([1.0, -1.0], [len(positives), len(negatives)])
    costs = CONFIG.svm.cost * np.where(signs > 0, 2.0, 1.0)
    best, best_value = np.zeros(rows.shape[1]), float("inf")
    weight = best.copy()
    for step in range(1, 6000):
        slack = 1 - signs * (rows @ weight)
        value = float(0.5 * weight @ weight + costs @ np.maximum(0, slack))
        if value < best_value:
            best, best_value = weight.copy(), value
        weight = weight - (weight - (costs * signs * (slack > 0)) @ rows) / (step + 300)
    return best[:-1], float(best[-1] * 10)


def test_mining_without_images_gives_no_svms() -> None:
    weight, bias = mined_svms(make_svm_data(0))
    assert weight.shape == (CLASSES, LENGTH)
    assert not weight.any()
    assert (bias == NEVER_FIRES).all()


@pytest.mark.parametrize("label", [1, 2])
def test_fit_svm_reaches_the_optimum(label: int) -> None:
    data = make_svm_data(14)
    positives, negatives = all_examples(data, label)
    scale = feature_scale(data.features)
    weight, bias = fit_svm(positives, negatives, scale, CONFIG.svm)
    scaled = positives.astype(np.float64) * scale, negatives.astype(np.float64) * scale
    ours = objective(weight.astype(np.float64) / scale, float(bias), *scaled)
    slow = objective(*subgradient_descent(*scaled), *scaled)
    assert ours == pytest.approx(slow, rel=0.01)
    assert ours < slow * 1.001


def objectives(data: SvmData, weight: NDArray[np.floating], bias: NDArray[np.floating]) -> list[tuple[float, float]]:
    """Of each class the objective over all regions, and the least there is."""
    scale = feature_scale(data.features)
    both = []
    for class_index in range(CLASSES):
        positives, negatives = all_examples(data, class_index + 1)
        scaled = positives.astype(np.float64) * scale, negatives.astype(np.float64) * scale
        svms = (weight[class_index], bias[class_index]), fit_svm(positives, negatives, scale, CONFIG.svm)
        actual, optimum = (objective(w.astype(np.float64) / scale, float(b), *scaled) for w, b in svms)
        both.append((actual, optimum))
    return both


def test_negative_iou_of_0_takes_the_regions_that_overlap_no_object() -> None:
    data = make_svm_data(14)
    mining = start_mining(data, config=MiningConfig(SvmConfig(cost=0.02), negative_iou=0.0, retrain_every=20))
    for _ in mining.run():
        pass
    weight, bias = mining.svms()
    assert (bias != NEVER_FIRES).all()
    assert weight.any(1).all()
    for class_index, keys in enumerate(mining.state().negatives):
        assert len(keys)
        assert all(data.region_labels[image].overlaps[row, class_index] == 0 for image, row in keys)


def test_mining_ends_near_the_svm_of_all_negatives() -> None:
    data = make_svm_data(120)
    start = start_mining(data)
    next(start.run())
    ends = objectives(data, *mined_svms(data)), objectives(data, *start.svms())
    for (actual, optimum), (first, _) in zip(*ends, strict=True):
        assert actual < 1.1 * optimum  # one pass does not see again what became hard later
        assert actual - optimum < 0.1 * (first - optimum)  # first: taught by the negatives of one image


def test_mining_of_every_negative_equals_training_on_all() -> None:
    data = make_svm_data(20)
    run = start_mining(data, config=MiningConfig(CONFIG.svm, hard_margin=-99.0, easy_margin=-99.0))
    list(run.run())
    for actual, optimum in objectives(data, *run.svms()):
        assert actual == pytest.approx(optimum, rel=1e-3)


def test_mining_holds_few_negatives() -> None:
    data = make_svm_data(40)
    run = start_mining(data)
    largest = max(sum(map(len, run.negatives)) for _ in run.run())
    everywhere = sum(len(all_examples(data, label)[1]) for label in range(1, CLASSES + 1))
    assert 0 < largest < everywhere / 2


def test_mined_rows_are_unique_hard_negatives_of_their_class() -> None:
    data = make_svm_data(30)
    run = start_mining(data)
    list(run.run())
    weight, bias = run.svms()
    for class_index, keys in enumerate(run.state().negatives):
        assert len(keys) > 0
        assert len(np.unique(keys, axis=0)) == len(keys)
        for image, row in keys:
            assert data.region_labels[image].overlaps[row, class_index] < 0.3
            assert data.features[image][row].astype(np.float32) @ weight[class_index] + bias[class_index] >= -1.2 - 1e-4


@pytest.mark.parametrize("cut", [0, 1, 2, 6, 7, 13, 19, 20])
def test_mining_resumed_gives_identical_svms(cut: int, tmp_path: Path) -> None:
    data = make_svm_data(20)
    first = start_mining(data)
    for _ in islice(first.run(), cut):
        pass
    write_state(tmp_path / "state.npz", first.state())
    second = start_mining(data, read_state(tmp_path / "state.npz"))
    assert second.done == cut
    list(second.run())
    for one, other in zip(mined_svms(data), second.svms(), strict=True):
        assert one.tobytes() == other.tobytes()
    assert all(
        np.array_equal(one, other)
        for one, other in zip(first.state().negatives, read_state(tmp_path / "state.npz").negatives, strict=True)
    )


@pytest.mark.parametrize("absent", [1, 3])
def test_class_without_objects_never_fires(absent: int) -> None:
    data = make_svm_data(8, absent=absent)
    weight, bias = mined_svms(data)
    assert (bias == NEVER_FIRES).nonzero()[0].tolist() == [absent - 1]
    assert not weight[absent - 1].any()
    run = start_mining(data)
    list(run.run())
    assert len(run.negatives[absent - 1]) == 0


def test_image_without_negatives_trains_at_the_next_one() -> None:
    data = make_svm_data(3)
    data.region_labels[0].overlaps[:] = 1.0
    run = start_mining(data)
    steps = run.run()
    next(steps)
    assert not run.trained.any()
    next(steps)
    assert run.trained[[len(rows) > 0 for rows in run.positives]].all()


def test_mining_twice_gives_identical_svms() -> None:
    data = make_svm_data(20)
    assert all(np.array_equal(one, other) for one, other in zip(mined_svms(data), mined_svms(data), strict=True))


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", None])
def test_read_state_of_another_file_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="expected the state of a mining of negatives, found"):
        read_state(path)


def test_initial_state_is_written_and_read_unchanged(tmp_path: Path) -> None:
    write_state(tmp_path / "state.npz", MiningState.initial(CLASSES, LENGTH))
    state = read_state(tmp_path / "state.npz")
    assert (state.done, state.weight.shape, len(state.negatives)) == (0, (CLASSES, LENGTH), CLASSES)
