"""tools/compare_adversaries.py and check_adversary.py: steps for minutes, gains and their intervals by hand."""

from __future__ import annotations

import json
import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detect.config.files import parse_config
from detect.config.heads import AdversaryConfig
from detect.errors import UserError
from detect.models.adversaries.adversary import true_class_probability
from detect.models.adversaries.dropout import CellDraw, OcclusionNetwork, RandomDropout
from detect.models.heads.softmax import SoftmaxHead
from detect.models.heads.tails import TwoLayerFC
from detect.ops.region_masks import hide, window_masks
from tools.adversary_gains import Outcome, format_outcomes
from tools.check_adversary import mean_interval, region_drops
from tools.compare_adversaries import (
    ADVERSARIES,
    Comparison,
    last_step_seconds,
    read_score,
    run_side_by_side,
    steps_in,
    training,
)


@pytest.mark.parametrize(("pilots", "steps"), [((20.0, 60.0), 1200), ((100.0, 180.0), 600), ((1.0, 100000.0), 2)])
def test_steps_are_those_of_the_minutes_without_the_start(pilots: tuple[float, float], steps: int) -> None:
    assert steps_in(10.0, pilots) == steps


def test_pilots_that_say_nothing_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"--minutes: expected more seconds for 120 steps than for 40, found 5\.0 and 6\.0"
    ):
        steps_in(10.0, (6.0, 5.0))


def outcomes(*occluded: float) -> list[Outcome]:
    return [Outcome(all_objects=0.5, occluded=ap, minutes=10.0, step_seconds=0.2) for ap in occluded]


def test_table_says_which_gain_is_a_null() -> None:
    runs = {
        "none": outcomes(0.40, 0.41, 0.42),
        "random_dropout": outcomes(0.401, 0.411, 0.421),
        "asdn": outcomes(0.45, 0.46, 0.47),
        "astn": outcomes(0.40),
        "both": [],
    }
    lines = format_outcomes(runs).splitlines()
    cells = [cell.strip() for cell in lines[3].strip("|").split("|")]
    assert cells[:4] == ["random_dropout", "3", "50.0", "0.0"]
    assert cells[4:] == ["+0.0 (+0.0 to +0.0)", "41.1", "1.0", "+0.1 (+0.1 to +0.1)", "yes", "10.0", "1.00"]
    assert lines[4].startswith("| asdn | 3 |")
    assert "+5.0 (+5.0 to +5.0) | no |" in lines[4]
    assert "| +0.0 | no |" in lines[5]  # one seed is no null
    assert not any(line.startswith("| both") for line in lines)


@pytest.mark.parametrize("name", ADVERSARIES)
def test_every_training_is_one_that_the_settings_allow(name: str, tmp_path: Path) -> None:
    comparison = Comparison(tmp_path, Path("a.yaml"), ("data.occlusion=0.6",), 5)
    command = list(map(str, training(comparison, name, 7, 1, tmp_path / "run")))
    changes = dict(pair.split("=") for pair in command[4:-2:2] if "=" in pair)
    assert changes["train.steps"] == "7"
    assert changes["model.init"] == str(tmp_path / "initial-5-1" / "last.pt")
    settings: dict[str, dict[str, Any]] = {"train": {"steps": 7}, "model": {}}
    if name != "plain":
        settings["train"]["recipe"] = changes["train.recipe"]
        settings["model"]["adversary"] = {"type": changes["model.adversary.type"]}
    assert parse_config(settings, "test").model.adversary.type == ("none" if name == "plain" else name)


@pytest.mark.parametrize("jobs", [1, 2])
def test_after_a_failure_no_further_training_starts(jobs: int) -> None:
    assert run_side_by_side([], jobs) == []
    assert run_side_by_side([lambda: 1, lambda: 2, lambda: 3], jobs) == [1, 2, 3]
    started: list[int] = []

    def train(number: int) -> None:
        started.append(number)
        time.sleep(0.05)
        if number == 0:
            raise UserError("training 0 failed")

    with pytest.raises(UserError, match="training 0 failed"):
        run_side_by_side([partial(train, number) for number in range(20)], jobs)
    assert len(started) < 20


def test_scores_and_costs_are_read_from_their_files(tmp_path: Path) -> None:
    score = tmp_path / "score.json"
    score.write_text(json.dumps({"AP": 0.5, "ranges": {"occlusion": {"occluded": {"mAP": 0.25}}}}))
    assert read_score(score) == (0.5, 0.25)
    score.write_text(json.dumps({"AP": 0.5}))
    with pytest.raises(UserError, match="found no labels that say occluded"):
        read_score(score)
    assert math.isnan(last_step_seconds(tmp_path))
    (tmp_path / "3-joint").mkdir()
    (tmp_path / "3-joint" / "metrics.csv").write_text("step,step_seconds\n1,0.1\n2,\n3,0.3\n4,0.2\n")
    assert last_step_seconds(tmp_path) == pytest.approx(0.2)


def test_mean_interval_counts_regions_and_draws_images() -> None:
    values = [np.array([1.0]), np.array([0.0, 0.0, 0.0]), np.zeros(0)] * 30
    interval = mean_interval(values, 0)
    assert interval.value == pytest.approx(0.25)
    assert 0.1 < interval.low < 0.25 < interval.high < 0.45
    with pytest.raises(ValueError, match="expected regions"):
        mean_interval([np.zeros(0)], 0)


def test_mean_interval_leaves_out_samples_without_regions() -> None:
    interval = mean_interval([np.array([0.5, 0.5]), np.zeros(0), np.zeros(0)], 0)
    assert (interval.low, interval.value, interval.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("count", [0, 6])
def test_region_drops_are_those_of_each_mask(count: int) -> None:
    torch.manual_seed(0)
    head = SoftmaxHead(TwoLayerFC(4, 5, 8), 8, 2)
    torch.nn.init.normal_(head.logits.weight)
    regional, labels = torch.randn(count, 4, 5, 5), torch.arange(count) % 2 + 1
    drops = region_drops(head, OcclusionNetwork(4, 8, 1), AdversaryConfig(), regional, labels, 3)
    assert {name: drop.shape for name, drop in drops.items()} == dict.fromkeys(
        ("adversary", "random", "hardest window"), (count,)
    )
    again = region_drops(head, OcclusionNetwork(4, 8, 1), AdversaryConfig(), regional, labels, 3)
    np.testing.assert_array_equal(drops["random"], again["random"])
    if count:
        before = true_class_probability(head, regional, labels)
        windows = [before - true_class_probability(head, hide(regional, mask), labels) for mask in window_masks(5)]
        np.testing.assert_allclose(drops["hardest window"], torch.stack(windows).max(0).values, atol=1e-6)
        assert drops["random"].any()
    with pytest.raises(UserError, match="which hide cells, found another"):
        region_drops(head, RandomDropout(CellDraw()), AdversaryConfig(), regional, labels, 3)
