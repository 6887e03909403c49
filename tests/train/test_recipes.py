"""Trainings of several stages: each is done once, whatever cuts the run off, and ends with the same weights."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from detect.build.data import training_data
from detect.checkpoint import load_checkpoint
from detect.config import Config
from detect.config_files import parse
from detect.data.loader import evaluation_loader
from detect.errors import UserError
from detect.heads.fitted import FittedHead
from detect.predict.predictor import load
from detect.proposals.files import content_key
from detect.svm.cache import FeatureCache
from detect.svm.mining import Mining
from detect.svm.regions import read_table
from detect.training.recipes import features, fits
from detect.training.recipes.fitted_files import FittedFiles, Trained
from detect.training.run import resume, train
from detect.training.work import Work
from tests.conftest import TINY

QUIET = Console(quiet=True)


def settings_of(shapes_root: Path, **changes: dict[str, Any]) -> Config:
    settings: dict[str, Any] = copy.deepcopy(TINY)
    settings["data"] |= {"root": str(shapes_root), "train_images": 6, "min_size": 64, "augment": {"flip": 0.5}}
    settings["train"] = {"steps": 2, "batch_size": 2, "lr": 0.01}
    for section, values in changes.items():
        settings[section] = settings[section] | values
    return parse(settings, "tiny")


@pytest.fixture(scope="module")
def proposals(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Boxes around objects and random ones, of every photo."""
    rng = np.random.default_rng(0)
    entries = []
    for photos in training_data(settings_of(shapes_root)):
        for photo in (photos[index] for index in range(len(photos))):
            height, width = photo.size
            anywhere = np.sort(rng.uniform(0, 1, (15, 2, 2)), axis=1) * [width, height]
            near = np.repeat(photo.boxes, 4, axis=0) + rng.uniform(-3, 3, (4 * len(photo.boxes), 4))
            boxes = np.concatenate([anywhere.reshape(-1, 4), near.clip(0, [width, height, width, height])])
            entries.append({"file": photo.file, "boxes": boxes.tolist()})
    file = tmp_path_factory.mktemp("proposals") / "random.json"
    file.write_text(json.dumps(entries))
    return file


@pytest.fixture(scope="module")
def rcnn(shapes_root: Path, proposals: Path) -> Config:
    head = {"tail": "linear", "width": 16, "bins": 3}
    model = {"kind": "rcnn", "proposals": str(proposals), "crop": {"side": 24, "context": 3}, "head": head}
    return settings_of(shapes_root, model=model)


@pytest.fixture(scope="module")
def whole(rcnn: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(rcnn, folder, QUIET)
    return folder


def assert_same_weights(first: Path, second: Path) -> None:
    a, b = (load_checkpoint(folder / "best.pt") for folder in (first, second))
    assert a.metrics == b.metrics
    assert a.weights.keys() == b.weights.keys()
    assert [name for name in a.weights if not torch.equal(a.weights[name], b.weights[name])] == []


def test_rcnn_leaves_a_whole_detector(whole: Path) -> None:
    predictor = load(whole)
    head = predictor.single.head
    assert isinstance(head, FittedHead)
    assert not head.logits.weight[0].any()  # the background of SVMs
    assert head.logits.weight[1:].any()
    assert head.deltas.weight.any()
    names = {file.name for file in whole.iterdir()}
    assert names >= {"config.yaml", "log.txt", "environment.json", "last.pt", "best.pt", "network", "svms.npz"}
    assert names.isdisjoint({"vectors", "inputs"})  # what takes gigabytes goes when it is done with
    assert (whole / "network" / "last.pt").is_file()


class Cut(Exception):  # noqa: N818 - what happens to the run
    pass


def cut_after(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, calls: int) -> None:
    """Raise Cut instead of call number ``calls`` of a function."""
    original: Callable[..., Any] = getattr(place, name)
    count = [0]

    def counted(*arguments: Any, **named: Any) -> Any:
        count[0] += 1
        if count[0] > calls:
            raise Cut
        return original(*arguments, **named)

    monkeypatch.setattr(place, name, counted)


@pytest.mark.parametrize(
    ("place", "name", "calls"),
    [
        (FeatureCache, "add", 3),
        (features, "write_table", 0),
        (Mining, "_look", 0),
        (Mining, "_look", 4),
        (fits, "write_fit", 0),
        (fits, "fit_regressor", 3),
        (fits, "write_fit", 4),
    ],
    ids=["in features", "after features", "before svms", "in svms", "after svms", "in boxes", "between boxes"],
)
def test_a_cut_run_ends_with_the_same_svms(
    place: Any, name: str, calls: int, rcnn: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fits, "_SECONDS_BETWEEN_STATES", 0.0)
    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        cut_after(patched, place, name, calls)
        with pytest.raises(Cut):
            train(rcnn, run, QUIET)
    before = (run / "network" / "log.txt").read_text()
    resume(run, QUIET)
    assert (run / "network" / "log.txt").read_text() == before  # what was done is not done again
    assert_same_weights(whole, run)


def test_a_finished_run_is_left_as_it_is(whole: Path, tmp_path: Path) -> None:
    stages = json.loads((whole / "stages.json").read_text())
    assert stages == ["network", "features", "svms", "regressors"]
    before = load_checkpoint(whole / "best.pt")
    copy_of = tmp_path / "copy"
    shutil.copytree(whole, copy_of)
    resume(copy_of, QUIET)
    assert json.loads((copy_of / "stages.json").read_text()) == stages
    assert load_checkpoint(copy_of / "best.pt").metrics == before.metrics
    assert_same_weights(whole, copy_of)


def test_features_that_pass_the_limit_are_refused(rcnn: Config, tmp_path: Path) -> None:
    small = rcnn.model_copy(update={"train": rcnn.train.model_copy(update={"cache_limit": 1e-9})})
    with pytest.raises(UserError, match=r"train\.cache_limit: expected at least .* GB"):
        train(small, tmp_path / "run", QUIET)
    assert not (tmp_path / "run" / "network" / "last.pt").exists()  # before the training, not after it


def test_each_row_of_the_features_is_its_region(rcnn: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FittedFiles, "remove_features", lambda _: None)
    run = tmp_path / "run"
    rare = rcnn.model_copy(update={"data": rcnn.data.model_copy(update={"rare": 0.9})})
    assert len(training_data(rare)[0]) > 6
    train(rare, run, QUIET)
    files, network = FittedFiles(run), load(run / "network")
    table, head = read_table(files.table), network.single.head
    assert len(table) == 6  # data.rare shows photos more often, their features are there once
    assert isinstance(head, FittedHead)
    loader = evaluation_loader(training_data(rcnn)[0], network.preprocess, 1, 0, None)
    saved = load_checkpoint(run / "network" / "best.pt")
    trained = Trained(saved, content_key((run / "network" / "best.pt").read_bytes()), network.single)
    with trained.vectors(files) as vectors, trained.inputs(files) as inputs:
        for place, batch in enumerate(sorted(loader, key=lambda batch: batch.indices[0])):
            boxes, targets = table.boxes_of(place), table.targets_of(place)
            assert torch.equal(targets.boxes, batch.targets[0].boxes)
            assert torch.equal(targets.labels, batch.targets[0].labels)
            with torch.no_grad():
                regional = network.single.regions(batch.images, (), [boxes])
                found = head.tail(regional)
            key = int(table.keys[place])
            torch.testing.assert_close(
                torch.from_numpy(np.array(vectors.read(key), np.float32)), found, atol=2e-3, rtol=2e-3
            )
            rows = torch.from_numpy(table.examples(0.6)[place].rows)
            taught = torch.from_numpy(np.array(inputs.read(key), np.float32))
            torch.testing.assert_close(taught, regional.flatten(1)[rows], atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize(
    ("train_settings", "model_settings", "message"),
    [
        ({"recipe": "alternating", "parts": ["proposer"]}, {}, "expected all three with train.recipe alternating"),
        ({"parts": ["backbone", "proposer"]}, {"classifier": "svm"}, "expected head among them for SVMs"),
        ({"parts": ["backbone"]}, {}, "expected head or proposer among them"),
        ({"recipe": "joint"}, {"kind": "rcnn"}, "expected rcnn with model.kind rcnn"),
        ({"recipe": "rcnn"}, {}, "expected joint with model.classifier softmax"),
    ],
)
def test_impossible_recipes(
    train_settings: dict[str, Any], model_settings: dict[str, Any], message: str, shapes_root: Path
) -> None:
    with pytest.raises(UserError, match=message):
        settings_of(shapes_root, train=train_settings, model=model_settings)


def test_a_classifier_is_not_changed_afterwards(whole: Path) -> None:
    with pytest.raises(UserError, match=r"model\.classifier: expected svm, which .* holds, found softmax"):
        load(whole, overrides=["model.classifier=softmax"])


def changed(config: Config, **model: Any) -> Config:
    settings = config.model_dump(mode="json")
    settings["model"] |= model
    return parse(settings, "changed")


def test_softmax_in_place_of_svms(rcnn: Config, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(changed(rcnn, classifier="softmax"), run, QUIET)
    assert json.loads((run / "stages.json").read_text()) == ["network", "features", "regressors"]
    network, best = (load_checkpoint(folder / "best.pt").weights for folder in (run / "network", run))
    assert torch.equal(network["head.logits.weight"], best["head.logits.weight"])
    same = load_checkpoint(whole / "best.pt").weights
    assert torch.equal(best["head.deltas.weight"], same["head.deltas.weight"])


@pytest.mark.parametrize("given", [True, False], ids=["fast_rcnn", "faster_rcnn"])
def test_svms_on_shared_maps(given: bool, shapes_root: Path, proposals: Path, tmp_path: Path) -> None:
    kind = {"kind": "fast_rcnn", "proposals": str(proposals)} if given else {"kind": "faster_rcnn"}
    run = tmp_path / "run"
    train(settings_of(shapes_root, model=kind | {"classifier": "svm"}), run, QUIET)
    assert json.loads((run / "stages.json").read_text()) == ["network", "features", "svms"]
    network, best = (load_checkpoint(folder / "best.pt").weights for folder in (run / "network", run))
    assert not torch.equal(network["head.logits.weight"], best["head.logits.weight"])
    assert torch.equal(network["head.deltas.weight"], best["head.deltas.weight"])


@pytest.fixture(scope="module")
def alternating(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alternating") / "run"
    config = settings_of(shapes_root)
    train(config.model_copy(update={"train": config.train.model_copy(update={"recipe": "alternating"})}), folder, QUIET)
    return folder


def test_the_four_steps_share_what_they_should(alternating: Path) -> None:
    steps = [load_checkpoint(alternating / name / "best.pt").weights for name in STEPS]
    best = load_checkpoint(alternating / "best.pt").weights
    rpn, detector, second_rpn, head = steps

    def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], part: str) -> bool:
        names = [name for name in first if name.startswith(f"{part}.")]
        assert names
        return all(torch.equal(first[name], second[name]) for name in names)

    assert not same(rpn, detector, "backbone")
    assert same(detector, second_rpn, "backbone")
    assert same(detector, second_rpn, "head")
    assert same(detector, head, "backbone")
    assert not same(detector, head, "head")
    assert not same(rpn, second_rpn, "proposer")
    assert same(best, second_rpn, "proposer")
    assert same(best, head, "head")
    assert same(best, head, "backbone")


STEPS = ("1-rpn", "2-detector", "3-rpn", "4-head")


@pytest.mark.parametrize("done", [0, 2, 5])
def test_alternating_goes_on_between_its_steps(
    done: int, alternating: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run, count = load(alternating).config, tmp_path / "run", [0]
    say = Work.say

    def counted(self: Work, line: str) -> None:
        count[0] += line.startswith("stage ")
        if count[0] > done:
            raise Cut
        say(self, line)

    with monkeypatch.context() as patched:
        patched.setattr(Work, "say", counted)
        with pytest.raises(Cut):
            train(config, run, QUIET)
    resume(run, QUIET)
    assert_same_weights(alternating, run)
