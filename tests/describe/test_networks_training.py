from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from detect.describe import networks_training, stage
from detect.describe.model import DescribeModel, load_describe_model
from detect.describe.networks_training import train_networks
from detect.describe.segments import Segment
from detect.describe.stage import Stage
from detect.describe.training_data import TrainingPhoto, segment_texts
from detect.errors import RunError, UserError
from detect.training.run_folder import RunFolder
from tests.describe.synthetic import COLORS, KINDS, SETTINGS, draw_photos, settings

QUIET = Console(quiet=True)
VOCABULARY, PHOTOS, ROWS = draw_photos(20)


def train(folder: Path) -> DescribeModel:
    folder.mkdir(exist_ok=True)
    config = settings(alignment=SETTINGS["alignment"] | {"epochs": 5})  # type: ignore[operator]
    return train_networks(config, VOCABULARY, PHOTOS, RunFolder(folder), QUIET)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was never interrupted."""
    folder = tmp_path_factory.mktemp("describe") / "whole"
    train(folder)
    return folder


def kill_at_step(monkeypatch: pytest.MonkeyPatch, name: str, killed_step: int) -> None:
    """Let the step of a stage end the run, as a kill does: nothing is saved for it."""
    original = stage._train_step

    def step_or_die(running: Stage, step: int) -> float:
        if (running.name, step) == (name, killed_step):
            raise KeyboardInterrupt
        return original(running, step)

    monkeypatch.setattr(stage, "_train_step", step_or_die)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("alignment", 4),
        ("generator", 5),
        *(pytest.param("alignment", step, marks=pytest.mark.slow) for step in (0, 3, 9)),
        pytest.param("generator", 0, marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_at_a_step_resumes_to_the_same_bits(
    name: str, step: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        kill_at_step(patched, name, step)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run")
    assert not (tmp_path / "run" / "model.pt").exists()
    assert (tmp_path / "run" / "alignment.pt").exists() == (name == "generator")
    train(tmp_path / "run")
    require_equal_runs(tmp_path / "run", whole)


def test_the_log_counts_segments_and_texts(whole: Path) -> None:
    segments = json.loads((whole / "segments.json").read_text())
    parts = [part for by_sentence in segments.values() for of_sentence in by_sentence for part in of_sentence]
    of_regions = sum(row < 2 for *_, row in parts)  # the third row is the whole photo
    log = (whole / "log.txt").read_text()
    assert f"{len(parts)} segments, made of 280 words of 40 sentences\n" in log
    left_out = len(parts) - of_regions
    assert f"generator: {40 + of_regions} texts; {left_out} segments that belong to no region are left out\n" in log
    assert left_out > 0


@pytest.mark.parametrize("min_words", [1, 2, 3, 99])
def test_segments_of_few_words_are_left_out(min_words: int) -> None:
    photo = TrainingPhoto(name="a", features=torch.zeros(3, 2), sentences=((5, 6, 7, 8, 9, 4),))
    parts = (
        Segment(first=0, end=2, region=1),
        Segment(first=2, end=3, region=0),
        Segment(first=3, end=5, region=2),  # the whole photo
        Segment(first=5, end=6, region=1),
    )
    words = [text.words for text in segment_texts([photo], [[parts]], min_words)]
    assert words == [expected for expected in [(5, 6), (7,), (4,)] if len(expected) >= min_words]


def test_the_log_counts_words_of_sentences_without_a_vector(tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text("red 1 -1\nRED 2 2\ndisc 0 1\n")
    config = settings(words={"min_count": 1, "vectors": str(tmp_path / "vectors.txt")}, generator={"epochs": 0})
    train_networks(config, VOCABULARY, PHOTOS[:2], RunFolder(tmp_path), QUIET)
    words = f"words: 12 of 14 have no vector in {tmp_path / 'vectors.txt'}; 1 further spellings passed over\n"
    assert words in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("step", [5, None])
def test_a_file_of_a_stage_without_its_checksum_is_refused(
    step: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if step is None:
        train(tmp_path / "run")
    else:
        with monkeypatch.context() as patched:
            kill_at_step(patched, "alignment", step)
            with pytest.raises(KeyboardInterrupt):
                train(tmp_path / "run")
    file = tmp_path / "run" / ("alignment.pt" if step is None else "alignment.unfinished.pt")
    torch.save(torch.load(file), file)
    with pytest.raises(UserError, match=rf"{file.name}: damaged: expected a checksum at its end, found none"):
        train(tmp_path / "run")


@pytest.mark.parametrize("function", ["write_text", "save_describe_model"])
def test_a_run_killed_between_stages_resumes_to_the_same_bits(
    function: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(networks_training, function, die)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run")
    train(tmp_path / "run")
    require_equal_runs(tmp_path / "run", whole)


def require_equal_runs(run: Path, whole: Path) -> None:
    assert (run / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert (run / "segments.json").read_text() == (whole / "segments.json").read_text()
    ours, theirs = load_describe_model(run), load_describe_model(whole)
    for name, network in ours.networks.items():
        expected = theirs.networks[name].state_dict()
        assert all(torch.equal(weight, expected[key]) for key, weight in network.state_dict().items())
    assert {file.name for file in run.iterdir()} == {file.name for file in whole.iterdir()}


def test_metrics_have_a_row_every_so_many_steps_and_at_the_end_of_each_stage(whole: Path) -> None:
    rows = [line.split(",") for line in (whole / "metrics.csv").read_text().splitlines()]
    assert rows[0] == ["step", "alignment_loss", "lr", "generator_loss"]
    alignment = [int(row[0]) for row in rows[1:] if row[1]]
    assert alignment == [3, 6, 9, 10]
    assert next(int(row[0]) for row in rows[1:] if row[3]) == 13


@pytest.mark.slow
def test_training_learns_which_words_mean_which_region_and_to_describe_it(tmp_path: Path) -> None:
    vocabulary, photos, _ = draw_photos(120)
    long = settings(
        alignment=SETTINGS["alignment"] | {"epochs": 30, "batch_size": 40},  # type: ignore[operator]
        generator={"dim": 16, "hidden": 32, "lr": 0.01, "batch_size": 48, "epochs": 20, "texts": "segments"},
    )
    (tmp_path / "run").mkdir()
    model = train_networks(long, vocabulary, photos, RunFolder(tmp_path / "run"), QUIET)
    _, others, rows = draw_photos(30, seed=1)
    hits, described = [], []
    for photo, by_sentence in zip(others, rows, strict=True):
        features = photo.features.numpy()
        for sentence, expected in zip(photo.sentences, by_sentence, strict=True):
            assigned = model.assign(model.word_scores(features, vocabulary.decode(sentence)))
            hits += [assigned[t] == expected[t] for t in (1, 2, 5, 6)]
        for row in features[:2]:
            words, log_probability = model.describe(row)
            color, kind = COLORS[int(row[:6].argmax())], KINDS[int(row[6:12].argmax())]
            described.append(color in words and kind in words)
            assert log_probability < 0
    assert np.mean(hits) > 0.85
    assert np.mean(described) > 0.85


def test_a_loss_that_is_not_finite_ends_the_run_with_one_line(tmp_path: Path) -> None:
    config = settings(alignment=SETTINGS["alignment"] | {"lr": 1e30})  # type: ignore[operator]
    with pytest.raises(RunError, match=r"alignment: expected a finite loss, found .* at step \d+; lower alignment.lr"):
        train_networks(config, VOCABULARY, PHOTOS, RunFolder(tmp_path), QUIET)


@pytest.mark.parametrize(
    ("count", "changes", "message"),
    [
        (0, {}, "data.train: expected 2 photos with sentences or more, found 0"),
        (1, {}, "data.train: expected 2 photos with sentences or more, found 1"),
        (
            4,
            {"alignment": {"regions": "photo", "epochs": 1}, "generator": {"texts": "segments"}},
            "generator.texts: expected photos with alignment.regions photo, found segments",
        ),
    ],
)
def test_nothing_to_train_on_is_one_line(count: int, changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        train_networks(settings(**changes), VOCABULARY, PHOTOS[:count], RunFolder(tmp_path), QUIET)


def test_no_generator_is_trained_in_0_epochs(tmp_path: Path) -> None:
    model = train_networks(settings(generator={"epochs": 0}), VOCABULARY, PHOTOS, RunFolder(tmp_path), QUIET)
    with pytest.raises(UserError, match=r"generator.epochs: expected a model that was trained to write"):
        model.describe(PHOTOS[0].features[0].numpy())
    assert load_describe_model(tmp_path).generator is None
