"""Every recipe as a whole run on the emulated CUDA device: training, validation, checkpoints, fits, and resuming."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detect.config import Config
from detect.config.builders.data import training_data
from detect.config.files import with_overrides
from detect.inference.load import load
from detect.training.loop import NonFiniteStep
from detect.training.run import replay_step, resume, train
from tests.emulation.configurations import PRECISIONS
from tests.training.fixtures_training import QUIET, settings_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("gpu")]

CROPS = ["model.kind=rcnn", "model.proposals={file}", "model.crop.size=24", "model.crop.context=3"]
RECIPES: dict[str, list[str]] = {
    "joint": ["train.ema_decay=0.9", "train.optimizer=adamw", "train.clip_grad_norm=5", "train.log_every=1"],
    "joint, accumulated": ["train.accumulate=2", "model.test_time.flip=true"],
    "alternating": ["train.recipe=alternating"],
    "adversarial": ["model.adversary.type=both", "model.adversary.channels=8", "train.recipe=adversarial"],
    "Fast R-CNN": ["model.kind=fast_rcnn", "model.proposals={file}"],
    "Fast R-CNN with SVMs": ["model.kind=fast_rcnn", "model.proposals={file}", "model.classifier=svm",
                             "train.recipe=rcnn"],
    "R-CNN": [*CROPS, "model.classifier=svm", "train.recipe=rcnn"],
    "R-CNN with a softmax": [*CROPS, "model.classifier=softmax", "train.recipe=rcnn"],
    "pretrain": ["model.kind=rcnn", "model.proposals={file}", "model.crop.size=52", "model.crop.context=2",
                 "model.classifier=softmax", "train.recipe=pretrain"],
}  # fmt: skip
ON_ITS_OWN = ("joint", "joint, accumulated", "alternating", "adversarial")  # these detectors propose regions themselves


@pytest.fixture(scope="module")
def proposal_file(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write boxes around the objects of every image, and random ones."""
    random, entries = np.random.default_rng(0), []
    for images in training_data(settings_of(shapes_root)):
        for image in (images[index] for index in range(len(images))):
            height, width = image.size
            anywhere = np.sort(random.uniform(0, 1, (15, 2, 2)), axis=1) * [width, height]
            near = np.repeat(image.boxes, 4, axis=0) + random.uniform(-3, 3, (4 * len(image.boxes), 4))
            boxes = np.concatenate([anywhere.reshape(-1, 4), near.clip(0, [width, height, width, height])])
            entries.append({"file": image.file, "boxes": boxes.tolist()})
    file = tmp_path_factory.mktemp("proposals") / "random.json"
    file.write_text(json.dumps(entries))
    return file


def recipe_config(name: str, precision: str, shapes_root: Path, proposal_file: Path) -> Config:
    changes = [change.format(file=proposal_file) for change in RECIPES[name]]
    return with_overrides(settings_of(shapes_root), ["device=cuda", f"train.precision={precision}", *changes])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", RECIPES)
def test_recipe_runs_and_resumes(
    name: str, precision: str, shapes_root: Path, proposal_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(recipe_config(name, precision, shapes_root, proposal_file), run, QUIET)
    resume(run, QUIET)  # the state of the optimizer goes back to the device
    assert (run / "best.pt").is_file()
    if name in ON_ITS_OWN:
        detections = load(run, "cuda", "bf16").predict(np.zeros((90, 120, 3), np.uint8), score=0.0)
        assert not detections.boxes.is_cuda


def test_a_step_that_is_not_finite_is_saved_and_run_again(shapes_root: Path, tmp_path: Path) -> None:
    config = with_overrides(settings_of(shapes_root), ["device=cuda", "train.lr=1e30", "train.steps=9"])
    with pytest.raises(NonFiniteStep, match=r"detect train --replay") as failure:
        train(config, tmp_path / "run", QUIET)
    with pytest.raises(NonFiniteStep, match="expected finite numbers"):
        replay_step(Path(str(failure.value).split()[-1]), QUIET)
