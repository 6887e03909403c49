"""A NaN in any stage of a step: the weights stay, the image is named, the step is kept and can be done again."""

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
from detect.config.files import parse
from detect.data.loading.loader import _TrainingImages
from detect.errors import UserError
from detect.models.backbones.necks import Backbone
from detect.models.detector import Detector
from detect.models.heads.softmax import SoftmaxHead
from detect.models.proposers.rpn_head import RpnHead
from detect.ops.preprocess import Preprocess
from detect.system.checksums import write_sealed
from detect.training import trainer as network
from detect.training.loop import NonFiniteStep, train_loop
from detect.training.replay import read_step
from detect.training.run import replay_step, train
from detect.training.state import Learner
from detect.types import Images, Mean
from tests.fault_injection.jobs import settings
from tests.training.world import QUIET

STEP = 2  # steps done before the bad one
NAN = float("nan")
Patch = Callable[[Any, str, Any], None]
Bad = Callable[[Images], list[int]]  # places of the bad image in a batch


def poison(value: Tensor, places: list[int]) -> Tensor:
    """These rows are no numbers any more."""
    rows = torch.zeros(len(value))
    rows[places] = NAN
    return value + rows.view(-1, *[1] * (value.dim() - 1))


def in_input(patch: Patch, bad: Bad) -> None:
    original = Preprocess.batch

    def batch(self: Preprocess, *arguments: Any, **named: Any) -> Images:
        images = original(self, *arguments, **named)
        return replace(images, pixels=poison(images.pixels, bad(images)))

    patch(Preprocess, "batch", batch)


def latest_images(patch: Patch) -> list[Images]:
    """Holds the images that were made last: those that are about to go through the network."""
    checked, latest = Images.__post_init__, list[Images]()

    def noted(self: Images) -> None:
        checked(self)
        latest[:] = [self]

    patch(Images, "__post_init__", noted)
    return latest


def in_backbone(patch: Patch, bad: Bad) -> None:
    forward, latest = Backbone.forward, latest_images(patch)
    patch(Backbone, "forward", lambda self, pixels: tuple(poison(one, bad(latest[0])) for one in forward(self, pixels)))


def in_proposals(patch: Patch, bad: Bad) -> None:
    original, latest = RpnHead._answers, latest_images(patch)

    def answers(self: RpnHead, hidden: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = original(self, hidden)
        return logits * (NAN if bad(latest[0]) else 1.0), deltas

    patch(RpnHead, "_answers", answers)


def in_head(patch: Patch, bad: Bad) -> None:
    original, latest = SoftmaxHead.forward, latest_images(patch)

    def forward(self: SoftmaxHead, regional: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = original(self, regional)
        return poison(logits, [0] if bad(latest[0]) else []), deltas

    patch(SoftmaxHead, "forward", forward)


def in_loss(patch: Patch, bad: Bad) -> None:
    original = Detector.means

    def means(self: Detector, images: Images, maps: Any, targets: Any) -> dict[str, Mean]:
        found = original(self, images, maps, targets)
        return {name: Mean(one.value * (NAN if bad(images) else 1.0), one.over) for name, one in found.items()}

    patch(Detector, "means", means)


def in_gradient(patch: Patch, bad: Bad) -> None:
    original = Detector.means

    def means(self: Detector, images: Images, maps: Any, targets: Any) -> dict[str, Mean]:
        found = original(self, images, maps, targets)
        if bad(images):
            found["region_class"].value.register_hook(lambda gradient: gradient * NAN)
        return found

    patch(Detector, "means", means)


STAGES = {
    "input": (in_input, "input"),
    "backbone": (in_backbone, "backbone"),
    "proposals": (in_proposals, "proposals"),
    "head": (in_head, "head"),
    "loss": (in_loss, "loss rpn_objectness"),
    "gradient": (in_gradient, "gradient of the "),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_nan_in_any_stage(
    stage: str,
    shapes_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    config = parse(settings(shapes_root, train={"steps": 4, "log_every": 4}), "tiny")
    key, file = third_image(config)
    before: dict[str, Tensor] = {}
    seen: list[Learner] = []

    def looked_at(learner: Learner, *arguments: Any) -> None:
        seen.append(learner)
        train_loop(learner, *arguments)

    shown = network._Run._show_batch

    def remember(self: Any, step: int, batch: Any) -> None:
        before.update({name: value.clone() for name, value in seen[0].detector.state_dict().items()})
        shown(self, step, batch)

    plant, first = STAGES[stage]
    with monkeypatch.context() as patched:
        patched.setattr("detect.training.trainer.train_loop", looked_at)
        patched.setattr(network._Run, "_show_batch", remember)
        plant(patched.setattr, lambda images: [place for place, one in enumerate(images.keys) if one == key])
        with pytest.raises(NonFiniteStep) as error:
            train(config, tmp_path / "run", QUIET)
        record_property("NaNs", 1)
        kept = tmp_path / "run" / f"step-{STEP + 1}.pt"
        with pytest.raises(NonFiniteStep, match=f"{kept}: expected finite numbers, found the first.* in: {first}"):
            replay_step(kept)
    message = str(error.value)
    assert message.startswith(f"step {STEP + 1}: expected finite numbers, found ")
    assert f"images: {file}; " in message
    assert message.endswith(f"detect train --replay {kept}")
    assert message in (tmp_path / "run" / "log.txt").read_text("utf-8")
    after = seen[0].detector.state_dict()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert load_checkpoint(tmp_path / "run" / "last.pt").step == STEP
    assert file in capsys.readouterr().out
    if stage != "input":  # which is kept as it was
        replay_step(kept)  # finite, now that nothing is planted


def third_image(config: Config) -> tuple[int, str]:
    """Key and file of an image of the batch after STEP steps, and of no batch before: it is in the second epoch."""
    from detect.config.builders.data import augment_rule, training_data
    from detect.config.builders.detector import preprocess_rule
    from detect.data.loading.batch_sampler import BatchPlan

    images, _ = training_data(config)
    plan = BatchPlan(images.sizes, 2, config.seed, config.data.min_sizes, 4)
    loader = _TrainingImages(images, preprocess_rule(config), augment_rule(config), config.seed, None)
    loaded = loader[plan.batch(STEP)[0]]
    assert not isinstance(loaded, str)
    return loaded.key, loaded.file


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    write_sealed(tmp_path / "a.pt", {"format": "detect step 1"})
    with pytest.raises(UserError, match=r"a.pt: expected a detect step 1, found another file"):
        read_step(tmp_path / "a.pt")
    with pytest.raises(UserError, match=r"b.pt: expected a training step that was kept, found nothing"):
        read_step(tmp_path / "b.pt")
