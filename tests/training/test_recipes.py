"""Trainings of several stages: each is done once, whatever cuts the run off, and ends with the same weights."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Config
from detect.config.builders.data import training_data
from detect.config.files import parse_config
from detect.data.loading.loader import evaluation_loader
from detect.errors import UserError
from detect.inference.evaluate_dataset import evaluate
from detect.inference.load import load
from detect.models.heads.low_rank import linear_layers
from detect.models.heads.rcnn import RCNNHead
from detect.proposals.files import content_hash
from detect.proposals.lookups import load_proposal_lookup
from detect.training.recipes import features, fits
from detect.training.recipes.artifacts import StageArtifacts, TrainedNetwork
from detect.training.run import resume, train
from detect.training.svm.feature_cache import FeatureCache
from detect.training.svm.hard_negatives import HardNegativeMining
from detect.training.svm.regions import read_table
from detect.training.svm.ridge import fit_regressor
from tests.training.fixtures_training import QUIET, Cut, assert_same_weights, settings_of


@pytest.fixture(scope="module")
def finished_run(rcnn: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(rcnn, folder, QUIET)
    return folder


@pytest.mark.parametrize("path", ["network", "network/", "network/."])
def test_resume_of_a_stage_names_its_run(path: str, finished_run: Path) -> None:
    with pytest.raises(
        UserError, match=rf"network: expected a whole run, found a stage of {finished_run} \(--resume {finished_run}\)"
    ):
        resume(Path(f"{finished_run}/{path}"), QUIET)


def test_rcnn_run_ends_with_a_complete_detector(finished_run: Path) -> None:
    predictor = load(finished_run)
    head = predictor.base_detector.head
    assert isinstance(head, RCNNHead)
    assert not head.logits.weight[0].any()  # the background of SVMs
    assert head.logits.weight[1:].any()
    assert head.deltas.weight.any()
    names = {file.name for file in finished_run.iterdir()}
    assert names >= {"config.yaml", "log.txt", "environment.json", "last.pt", "best.pt", "network", "svms.npz"}
    assert names.isdisjoint({"vectors", "inputs", "norms"})  # what takes gigabytes goes when it is done with
    assert (finished_run / "network" / "last.pt").is_file()


def interrupt_call(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, calls: int) -> None:
    """Raise Cut instead of call number ``calls`` of a function."""
    original: Callable[..., Any] = getattr(owner, name)
    count = [0]

    def counted(*arguments: Any, **named: Any) -> Any:
        count[0] += 1
        if count[0] > calls:
            raise Cut
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, counted)


INTERRUPTIONS = {
    "in features": (FeatureCache, "add", 3),
    "after features": (features, "write_table", 0),
    "before svms": (HardNegativeMining, "_mine_image", 0),
    "in svms": (HardNegativeMining, "_mine_image", 4),
    "after svms": (fits, "write_fit", 0),
    "in boxes": (fits, "fit_regressor", 3),
    "between boxes": (fits, "write_fit", 4),
}
QUICK = ("in features", "in svms")


@pytest.mark.parametrize(
    ("owner", "name", "calls"),
    [
        pytest.param(*interruption, id=when, marks=[] if when in QUICK else pytest.mark.slow)
        for when, interruption in INTERRUPTIONS.items()
    ],
)
def test_rcnn_interrupted_and_resumed_gives_same_svms(
    owner: Any, name: str, calls: int, rcnn: Config, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fits, "_SECONDS_BETWEEN_STATES", 0.0)
    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        interrupt_call(patched, owner, name, calls)
        with pytest.raises(Cut):
            train(rcnn, run, QUIET)
    before = (run / "network" / "log.txt").read_text()
    resume(run, QUIET)
    assert (run / "network" / "log.txt").read_text() == before  # what was done is not done again
    assert_same_weights(finished_run, run)


def test_rcnn_finished_run_resumed_is_unchanged(finished_run: Path, tmp_path: Path) -> None:
    stages = json.loads((finished_run / "stages.json").read_text())
    assert stages == ["network", "features", "svms", "regressors"]
    before = load_checkpoint(finished_run / "best.pt")
    copy_of = tmp_path / "copy"
    shutil.copytree(finished_run, copy_of)
    resume(copy_of, QUIET)
    assert json.loads((copy_of / "stages.json").read_text()) == stages
    assert load_checkpoint(copy_of / "best.pt").metrics == before.metrics
    assert_same_weights(finished_run, copy_of)


def test_features_above_the_limit_are_refused_before_training(rcnn: Config, tmp_path: Path) -> None:
    small = rcnn.model_copy(update={"train": rcnn.train.model_copy(update={"feature_cache_gb": 1e-9})})
    with pytest.raises(UserError, match=r"train\.feature_cache_gb: expected at least .* GB"):
        train(small, tmp_path / "run", QUIET)
    assert not (tmp_path / "run" / "network" / "last.pt").exists()  # before the training, not after it


@pytest.mark.slow
def test_feature_rows_are_those_of_their_regions(rcnn: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StageArtifacts, "remove_features", lambda _: None)
    run = tmp_path / "run"
    repeated = rcnn.model_copy(update={"data": rcnn.data.model_copy(update={"repeat_factor_threshold": 0.9})})
    assert len(training_data(repeated)[0]) > 6
    train(repeated, run, QUIET)
    files, network = StageArtifacts(run), load(run / "network")
    table, head = read_table(files.table), network.base_detector.head
    assert len(table) == 6  # data.repeat_factor_threshold shows images more often, their features are there once
    assert isinstance(head, RCNNHead)
    loader = evaluation_loader(training_data(rcnn)[0], network.preprocess, 1, 0, None)
    saved = load_checkpoint(run / "network" / "best.pt")
    trained = TrainedNetwork(saved, content_hash((run / "network" / "best.pt").read_bytes()), network.base_detector)
    with trained.vectors(files) as vectors, trained.inputs(files) as inputs, trained.norms(files) as norms:
        for index, batch in enumerate(sorted(loader, key=lambda batch: batch.indices[0])):
            boxes, targets = table.boxes_of(index), table.targets_of(index)
            assert torch.equal(targets.boxes, batch.targets[0].boxes)
            assert torch.equal(targets.labels, batch.targets[0].labels)
            with torch.no_grad():
                regional = network.base_detector.regions(batch.images, (), [boxes])
                expected = head.tail(regional)
            key = int(table.keys[index])
            torch.testing.assert_close(
                torch.from_numpy(np.array(vectors.read(key), np.float32)), expected, atol=2e-3, rtol=2e-3
            )
            rows = torch.from_numpy(table.examples(0.6)[index].rows)
            taught = torch.from_numpy(np.array(inputs.read(key), np.float32))
            torch.testing.assert_close(taught, regional.flatten(1)[rows], atol=2e-3, rtol=2e-3)
            lengths = torch.from_numpy(np.array(norms.read(key), np.float32)).flatten()
            torch.testing.assert_close(lengths, regional.flatten(1).norm(dim=1), atol=2e-3, rtol=2e-3)


@pytest.mark.slow
def test_regressors_are_scaled_by_norms_of_all_regions(
    rcnn: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by those of the regions that teach them: near objects features are larger."""
    scales: list[float] = []

    def noted(*arguments: Any) -> Any:
        scales.append(arguments[4])
        return fit_regressor(*arguments)

    monkeypatch.setattr(fits, "fit_regressor", noted)
    monkeypatch.setattr(StageArtifacts, "remove_features", lambda _: None)
    train(rcnn, tmp_path / "run", QUIET)
    files, saved = StageArtifacts(tmp_path / "run"), load(tmp_path / "run" / "network")
    keys = read_table(files.table).keys.tolist()
    best = tmp_path / "run" / "network" / "best.pt"
    trained = TrainedNetwork(load_checkpoint(best), content_hash(best.read_bytes()), saved.base_detector)
    with trained.norms(files) as norms, trained.inputs(files) as inputs:
        everywhere = np.concatenate([np.array(norms.read(key), np.float64) for key in keys]).mean()
        near = np.concatenate([np.linalg.norm(np.array(inputs.read(key), np.float64), axis=1) for key in keys]).mean()
    assert scales == pytest.approx([20 / everywhere] * len(scales))
    assert scales
    assert abs(near / everywhere - 1) > 0.01


@pytest.mark.parametrize(
    ("train_settings", "model_settings", "message"),
    [
        (
            {"recipe": "alternating", "parts": ["proposer"]},
            {},
            "expected backbone, proposer and head with train.recipe alternating",
        ),
        ({"parts": ["backbone", "proposer"]}, {"classifier": "svm"}, "expected head among them for SVMs"),
        ({"parts": ["backbone"]}, {}, "expected head or proposer among them"),
        (
            {"parts": ["box_regressor"]},
            {"head": {"box_weight": 0}},
            "expected no box_regressor, as model.head.box_weight 0 is no loss, found box_regressor",
        ),
        ({"parts": ["proposer"]}, {"proposals": "a.npz"}, "expected head among them, found proposer"),
        ({"recipe": "alternating"}, {"proposals": ["a.npz", "b.npz"]}, "with model.proposals a.npz, b.npz, found"),
        ({"recipe": "joint"}, {"kind": "rcnn"}, "expected rcnn with model.kind rcnn"),
        ({"recipe": "rcnn"}, {}, "expected joint with model.classifier softmax"),
        ({"patience": 3}, {"kind": "rcnn"}, "train.patience: expected null with train.recipe rcnn.* found 3"),
        ({"recipe": "alternating", "patience": 1}, {}, "train.patience: expected null with train.recipe alternating"),
        ({"patience": 1, "validate_every": None}, {}, "train: patience: expected null where validate_every is null"),
    ],
)
def test_recipe_that_does_not_fit_the_model_is_refused(
    train_settings: dict[str, Any], model_settings: dict[str, Any], message: str, shapes_root: Path
) -> None:
    with pytest.raises(UserError, match=message):
        settings_of(shapes_root, train=train_settings, model=model_settings)


def test_load_with_another_classifier_is_refused(finished_run: Path) -> None:
    with pytest.raises(UserError, match=r"model\.classifier: expected svm, which .* holds, found softmax"):
        load(finished_run, overrides=["model.classifier=softmax"])


def changed(config: Config, **model: Any) -> Config:
    settings = config.model_dump(mode="json")
    settings["model"] |= model
    return parse_config(settings, "changed")


def test_rcnn_logs_crop_cost_before_the_first_stage(rcnn: Config, finished_run: Path) -> None:
    lines = (finished_run / "log.txt").read_text().splitlines()
    (line_index,) = (line_index for line_index, line in enumerate(lines) if line.startswith("crops of 24 x 24 pixels"))
    assert line_index < next(line_index for line_index, line in enumerate(lines) if line.startswith("stage 1"))
    assert re.search(r"[\d.e+]+ ms each on this machine: 256 to train the network on \(\d+ s\), ", lines[line_index])
    proposals = load_proposal_lookup(rcnn.model.proposal_files, [], 2000).files[0]
    counts = [proposals[line_index].boxes.shape[0] for line_index in range(len(proposals))]
    assert f", {sum(counts[:6])} for features (" in lines[line_index]
    assert f", {sum(counts[6:])} to validate (" in lines[line_index]


@pytest.mark.slow
def test_rcnn_with_softmax_fits_only_regressors(rcnn: Config, finished_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(changed(rcnn, classifier="softmax"), run, QUIET)
    assert json.loads((run / "stages.json").read_text()) == ["network", "features", "regressors"]
    network, best = (load_checkpoint(folder / "best.pt").weights for folder in (run / "network", run))
    assert torch.equal(network["head.logits.weight"], best["head.logits.weight"])
    same = load_checkpoint(finished_run / "best.pt").weights
    assert torch.equal(best["head.deltas.weight"], same["head.deltas.weight"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rcnn", "fast_rcnn"])
@pytest.mark.parametrize("svm_features", ["map", "fc1"])
def test_svms_on_lower_features_score_alike_when_fitted_and_when_detecting(
    kind: str, svm_features: str, rcnn: Config, tmp_path: Path
) -> None:
    run, settings = tmp_path / "run", rcnn.model_dump(mode="json")
    settings["model"] |= {"kind": kind, "classifier": "svm"}
    settings["model"]["head"] |= {"svm_features": svm_features, "sampling": "per_image"}
    result = train(parse_config(settings, "lower"), run, QUIET)
    network, predictor = load(run / "network"), load(run)
    ((trained,), (head,)) = (loaded.base_detector.head.stages for loaded in (network, predictor))
    assert network.config.model.head.svm_features is None  # the softmax was trained on the last layer
    weight, bias = fits.read_fit(run / "svms.npz")
    regional = torch.rand(5, linear_layers(trained.tail)[0].in_features // 9, 3, 3)
    layers = trained.tail.get_submodule("layers")  # flatten, fc1, relu, fc2, relu
    assert isinstance(layers, nn.Sequential)
    with torch.no_grad():
        features = regional.flatten(1) if svm_features == "map" else layers[:3](regional)
        logits, _ = head(regional)
    assert weight.shape[1] == features.shape[1] == head.logits.in_features
    torch.testing.assert_close(logits[:, 1:], features @ weight.T + bias)
    score = evaluate(run)
    assert result.score is not None
    assert score.metrics == result.score.metrics == load_checkpoint(run / "best.pt").metrics
    with pytest.raises(UserError, match=rf"model\.head\.svm_features: expected {svm_features}, .* found null"):
        load(run, overrides=["model.head.svm_features=null"])


@pytest.mark.parametrize(
    ("precomputed", "slice_size"),
    [
        pytest.param(True, None, id="fast_rcnn"),
        pytest.param(False, None, id="faster_rcnn"),
        pytest.param(False, 64, id="faster_rcnn-slices", marks=pytest.mark.slow),
    ],
)
def test_svms_on_shared_maps_replace_only_the_classifier(
    precomputed: bool, slice_size: int | None, shapes_root: Path, proposals: Path, tmp_path: Path
) -> None:
    kind = {"kind": "fast_rcnn", "proposals": str(proposals)} if precomputed else {"kind": "faster_rcnn"}
    config = settings_of(shapes_root, model=kind | {"classifier": "svm"}, data={"slice": {"size": slice_size}})
    images, run = training_data(config)[0], tmp_path / "run"
    assert (len(images) > 6) == (slice_size is not None)
    train(config, run, QUIET)
    table = read_table(StageArtifacts(run).table)
    assert (len(table), len(table.labels)) == (len(images), len(images.labels))  # each slice of a photo has features
    assert json.loads((run / "stages.json").read_text()) == ["network", "features", "svms"]
    network, best = (load_checkpoint(folder / "best.pt").weights for folder in (run / "network", run))
    assert not torch.equal(network["head.logits.weight"], best["head.logits.weight"])
    assert torch.equal(network["head.deltas.weight"], best["head.deltas.weight"])
