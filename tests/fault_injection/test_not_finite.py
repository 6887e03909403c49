"""A NaN in any stage of a step: the weights stay, the image is named, the step is saved and can be replayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Config
from detect.config.files import parse_config
from detect.data.loading.loader import _TrainingDataset
from detect.errors import UserError
from detect.models.backbones.necks import Backbone
from detect.models.detector import Detector
from detect.models.heads.softmax import SoftmaxHead
from detect.models.proposers.rpn_head import RPNHead
from detect.ops.preprocess import Preprocess
from detect.system.checksums import save_with_checksum
from detect.training import trainer
from detect.training.loop import NonFiniteStep, train_loop
from detect.training.run import replay_step, train
from detect.training.saved_step import read_step
from detect.training.state import TrainState
from detect.types import Images, MeanLoss
from tests.fault_injection.fixtures_jobs import settings
from tests.training.fixtures_training import QUIET

STEP = 2  # steps done before the bad one
NAN = float("nan")
Patch = Callable[[Any, str, Any], None]
Bad = Callable[[Images], list[int]]  # indices of the bad image in a batch


def poison(value: Tensor, rows_to_poison: list[int]) -> Tensor:
    """Return the tensor (N, ...) with NaN in these rows."""
    rows = torch.zeros(len(value))
    rows[rows_to_poison] = NAN
    return value + rows.view(-1, *[1] * (value.dim() - 1))


def in_input(patch: Patch, bad: Bad) -> None:
    original = Preprocess.batch

    def batch(self: Preprocess, *arguments: Any, **named: Any) -> Images:
        images = original(self, *arguments, **named)
        return replace(images, pixels=poison(images.pixels, bad(images)))

    patch(Preprocess, "batch", batch)


def latest_images(patch: Patch) -> list[Images]:
    """Return a list that always holds the images created last: those that the network runs on next."""
    checked, latest = Images.__post_init__, list[Images]()

    def noted(self: Images) -> None:
        checked(self)
        latest[:] = [self]

    patch(Images, "__post_init__", noted)
    return latest


def in_backbone(patch: Patch, bad: Bad) -> None:
    forward, latest = Backbone.forward, latest_images(patch)
    patch(
        Backbone,
        "forward",
        lambda self, pixels: tuple(poison(features, bad(latest[0])) for features in forward(self, pixels)),
    )


def in_proposals(patch: Patch, bad: Bad) -> None:
    original, latest = RPNHead._outputs, latest_images(patch)

    def answers(self: RPNHead, hidden: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = original(self, hidden)
        return logits * (NAN if bad(latest[0]) else 1.0), deltas

    patch(RPNHead, "_outputs", answers)


def in_head(patch: Patch, bad: Bad) -> None:
    original, latest = SoftmaxHead.forward, latest_images(patch)

    def forward(self: SoftmaxHead, regional: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = original(self, regional)
        return poison(logits, [0] if bad(latest[0]) else []), deltas

    patch(SoftmaxHead, "forward", forward)


def in_loss(patch: Patch, bad: Bad) -> None:
    original = Detector.forward

    def forward(self: Detector, images: Images, *arguments: Any) -> dict[str, MeanLoss]:
        losses: dict[str, MeanLoss] = original(self, images, *arguments)
        return {name: MeanLoss(loss.value * (NAN if bad(images) else 1.0), loss.count) for name, loss in losses.items()}

    patch(Detector, "forward", forward)


def in_gradient(patch: Patch, bad: Bad) -> None:
    original = Detector.forward

    def forward(self: Detector, images: Images, *arguments: Any) -> dict[str, MeanLoss]:
        losses: dict[str, MeanLoss] = original(self, images, *arguments)
        if bad(images):
            losses["region_class"].value.register_hook(lambda gradient: gradient * NAN)
        return losses

    patch(Detector, "forward", forward)


STAGES = {
    "input": (in_input, "input"),
    "backbone": (in_backbone, "backbone"),
    "proposals": (in_proposals, "proposals"),
    "head": (in_head, "head"),
    "loss": (in_loss, "loss rpn_objectness"),
    "gradient": (in_gradient, "gradient of the "),
}


@pytest.mark.parametrize(
    "stage",
    [pytest.param(name, marks=[] if name in ("input", "gradient") else pytest.mark.slow) for name in STAGES],
)
def test_nan_in_a_stage_leaves_weights_and_saves_the_step(
    stage: str,
    shapes_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    config = parse_config(settings(shapes_root, train={"steps": 4, "log_every": 4}), "tiny")
    key, file = third_image(config)
    before: dict[str, Tensor] = {}
    states: list[TrainState] = []

    def recorded_loop(state: TrainState, *arguments: Any) -> None:
        states.append(state)
        train_loop(state, *arguments)

    draw_batch = trainer.Trainer._draw_batch

    def remember(self: Any, step: int, batch: Any) -> None:
        before.update({name: value.clone() for name, value in states[0].detector.state_dict().items()})
        draw_batch(self, step, batch)

    inject, first = STAGES[stage]
    with monkeypatch.context() as patched:
        patched.setattr("detect.training.trainer.train_loop", recorded_loop)
        patched.setattr(trainer.Trainer, "_draw_batch", remember)
        inject(patched.setattr, lambda images: [index for index, seed in enumerate(images.seeds) if seed == key])
        with pytest.raises(NonFiniteStep) as error:
            train(config, tmp_path / "run", QUIET)
        record_property("NaNs", 1)
        saved = tmp_path / "run" / f"step-{STEP + 1}.pt"
        with pytest.raises(NonFiniteStep, match=f"{saved}: expected finite numbers, found the first.* in: {first}"):
            replay_step(saved)
    message = str(error.value)
    assert message.startswith(f"step {STEP + 1}: expected finite numbers, found ")
    assert f"images: {file}; " in message
    assert message.endswith(f"detect train --replay {saved}")
    assert message in (tmp_path / "run" / "log.txt").read_text("utf-8")
    after = states[0].detector.state_dict()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert load_checkpoint(tmp_path / "run" / "last.pt").step == STEP
    assert file in capsys.readouterr().out
    if stage != "input":  # which is saved as it was
        replay_step(saved)  # finite, now that no NaN is injected


def third_image(config: Config) -> tuple[int, str]:
    """Return seed and file of an image of the batch after STEP steps that no batch before it has."""
    from detect.config.builders.data import build_augment, training_data
    from detect.config.builders.detector import build_preprocess
    from detect.data.loading.batch_sampler import BatchSampler

    images, _ = training_data(config)
    plan = BatchSampler(images.sizes, 2, config.seed, config.data.min_sizes, 4)
    loader = _TrainingDataset(images, build_preprocess(config), build_augment(config), config.seed, None)
    loaded = loader[plan.batch(STEP)[0]]
    assert not isinstance(loaded, str)
    return loaded.seed, loaded.file


def test_read_step_of_another_file_is_refused(tmp_path: Path) -> None:
    save_with_checksum(tmp_path / "a.pt", {"format": "detect step 1"})
    with pytest.raises(UserError, match=r"a.pt: expected a detect step 1, found another file"):
        read_step(tmp_path / "a.pt")
    with pytest.raises(UserError, match=r"b.pt: expected a saved training step, found nothing"):
        read_step(tmp_path / "b.pt")
