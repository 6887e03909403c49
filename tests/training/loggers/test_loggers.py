from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

import detect
from detect.config import Config
from detect.config.files import load_config, parse_config, with_overrides
from detect.errors import RunError, UserError
from detect.training.loggers.logger import EndStatus, LoggedRun, Loggers
from detect.training.loggers.mlflow import MLflowLogger, changed_settings_tags
from detect.training.loggers.registry import finite_cells
from detect.training.run import resume
from tests.conftest import TINY


class Recorder:
    """A logger that remembers its calls, and raises in those of one name."""

    name = "recorder"

    def __init__(self, fails_in: str = "") -> None:
        self.fails_in = fails_in
        self.calls: list[tuple[str, object]] = []

    def _add(self, call: str, argument: object) -> None:
        if call == self.fails_in:
            raise OSError("no room\nat all")
        self.calls.append((call, argument))

    def start(self, run: LoggedRun) -> None:
        self._add("start", run)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._add("scalars", (step, dict(values)))

    def picture(self, step: int, file: Path) -> None:
        self._add("picture", (step, file.name))

    def file(self, file: Path) -> None:
        self._add("file", file.name)

    def end(self, status: EndStatus) -> None:
        self._add("end", status)


RUN = LoggedRun(folder=Path("runs/a"), settings={}, steps_done=0)


def tiny(folder: Path, shapes_root: Path, *more: str) -> Config:
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return load_config(folder / "tiny.yaml", [f"data.root={shapes_root}", "train.steps=2", *more])


def rows_of(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))


def test_no_loggers_do_nothing() -> None:
    lines: list[str] = []
    loggers = Loggers([], lines.append)
    loggers.start(RUN)
    loggers.scalars(1, {"loss": 0.5})
    loggers.end("finished")
    assert lines == []


def test_a_logger_that_fails_is_named_once_and_the_others_go_on() -> None:
    lines: list[str] = []
    broken, whole = Recorder("scalars"), Recorder()
    loggers = Loggers([broken, whole], lines.append)
    loggers.start(RUN)
    for step in (1, 2):
        loggers.scalars(step, {"loss": 0.5})
    loggers.end("failed")
    assert lines == ["train.loggers: recorder failed, and logs nothing more: no room"]
    assert [call for call, _ in broken.calls] == ["start"]
    assert [call for call, _ in whole.calls] == ["start", "scalars", "scalars", "end"]


def test_a_logger_that_cannot_start_ends_the_run_in_one_line() -> None:
    with pytest.raises(RunError, match=r"^train\.loggers: recorder: expected to start, found: no room$"):
        Loggers([Recorder("start")], print).start(RUN)


def test_blank_and_infinite_cells_are_left_out() -> None:
    row = {"step": 3, "loss": 0.5, "val_AP": None, "lr": float("nan"), "epoch": 1, "region": float("inf")}
    assert finite_cells(row) == (3, {"loss": 0.5, "epoch": 1.0})


def test_older_settings_of_tensorboard_are_read() -> None:
    assert parse_config({"train": {"steps": 1, "tensorboard": False}}, "a.yaml").train.loggers == ()
    assert with_overrides(Config(), ["train.tensorboard=true"]).train.loggers == ("tensorboard",)
    with pytest.raises(UserError, match="tensorboard: unknown key"):
        parse_config({"train": {"steps": 1, "tensorboard": "yes"}}, "a.yaml")
    with pytest.raises(UserError, match="expected 'tensorboard' or 'mlflow'"):
        parse_config({"train": {"steps": 1, "loggers": ["wandb"]}}, "a.yaml")


def test_a_logger_of_ones_own_gets_the_rows_and_the_pictures(tmp_path: Path, shapes_root: Path) -> None:
    recorder = Recorder()
    detect.train(tiny(tmp_path, shapes_root), tmp_path / "run", loggers=[recorder])
    first, *_, last = recorder.calls
    assert isinstance(first[1], LoggedRun)
    assert (first[1].steps_done, first[1].settings["train.steps"], last) == (0, 2, ("end", "finished"))
    logged = [argument for call, argument in recorder.calls if call == "scalars"]
    assert len(logged) == len(rows_of(tmp_path / "run")) > 0
    pictures = [argument for call, argument in recorder.calls if call == "picture"]
    assert {(1, "batch-1.jpg"), (2, "validation.jpg"), (2, "curves.png")} <= set(pictures)
    files = [argument for call, argument in recorder.calls if call == "file"]
    assert files == ["config.yaml", "environment.json", "metrics.csv", "log.txt"]


@pytest.mark.parametrize(
    ("params", "tags", "settings", "expected"),
    [
        ({}, {}, {}, {}),
        ({"lr": "0.1"}, {"folder": "a"}, {"lr": 0.1}, {}),
        ({"lr": "0.1"}, {}, {"lr": 0.01}, {"lr after step 10": "0.01"}),
        ({}, {}, {"ema": None}, {"ema after step 10": "None"}),
        ({"names": "a" * 500}, {}, {"names": "a" * 501}, {}),
        ({"lr": "0.1"}, {"lr after step 4": "0.01"}, {"lr": 0.01}, {}),
        ({"lr": "0.1"}, {"lr after step 4": "0.01"}, {"lr": 0.1}, {"lr after step 10": "0.1"}),
        ({"lr": "0.1"}, {"lr after step 9": "0.2", "lr after step 4": "0.01"}, {"lr": 0.2}, {}),
        ({"lr": "0.1"}, {"lr after step 10": "0.2", "lr after step 9": "0.3"}, {"lr": 0.2}, {}),
    ],
)
def test_settings_that_a_resume_changes_are_tags_of_mlflow(
    params: dict[str, str], tags: dict[str, str], settings: dict[str, object], expected: dict[str, str]
) -> None:
    assert changed_settings_tags(params, tags, LoggedRun(Path("runs/a"), settings, steps_done=10)) == expected


@pytest.fixture
def mlflow_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of MLflow's, in a folder; skips where MLflow is not installed."""
    pytest.importorskip("mlflow", reason="the package mlflow-skinny is optional, and not installed here")
    # A folder that no test before had: MLflow remembers the stores that it made, also those that are deleted.
    uri = (tmp_path / uuid4().hex).as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return uri


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("rates", "losses", "tags"),
    [
        ([0.1], [(1, 0.1), (2, 0.1), (3, 0.1)], {}),
        ([0.1, 0.1], [(1, 0.1), (2, 0.1), (3, 0.1)], {}),
        (
            [0.1, 0.01],
            [(1, 0.1), (2, 0.1), (2, 0.01), (3, 0.1), (3, 0.01)],
            {"train.lr after step 1": "0.01"},
        ),
        (
            [0.1, 0.01, 0.01],
            [(1, 0.1), (2, 0.1), (2, 0.01), (2, 0.01), (3, 0.1), (3, 0.01), (3, 0.01)],
            {"train.lr after step 1": "0.01"},
        ),
    ],
)
def test_steps_that_are_repeated_with_other_settings_are_logged_again(
    rates: list[float], losses: list[tuple[int, float]], tags: dict[str, str], mlflow_uri: str, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    for i, rate in enumerate(rates):  # the rate stands for the loss that it leads to; each run but the first resumes
        logger, steps_done = MLflowLogger(), min(i, 1)
        logger.start(LoggedRun(tmp_path, {"train.lr": rate}, steps_done))
        for step in range(steps_done + 1, 4):
            logger.scalars(step, {"loss": rate})
        logger.end("interrupted")
    client = MlflowClient(tracking_uri=mlflow_uri)
    (logged,) = client.search_runs([client.get_experiment_by_name("detect").experiment_id])
    history = client.get_metric_history(logged.info.run_id, "loss")
    assert sorted((metric.step, -metric.value) for metric in history) == [(step, -loss) for step, loss in losses]
    assert logged.data.params == {"train.lr": str(rates[0])}
    assert {tag: text for tag, text in logged.data.tags.items() if "after step" in tag} == tags


@pytest.mark.filterwarnings("ignore")
def test_an_mlflow_run_has_the_curves_of_metrics_csv(tmp_path: Path, shapes_root: Path, mlflow_uri: str) -> None:
    from mlflow import MlflowClient

    detect.train(tiny(tmp_path, shapes_root, "train.loggers=[mlflow]"), tmp_path / "run")
    resume(tmp_path / "run")  # nothing is left to do, and nothing is there twice
    client = MlflowClient(tracking_uri=mlflow_uri)
    experiment = client.get_experiment_by_name("detect")
    (logged,) = client.search_runs([experiment.experiment_id])
    assert (logged.info.status, logged.info.run_name, logged.data.params["train.steps"]) == ("FINISHED", "run", "2")
    rows = rows_of(tmp_path / "run")
    for name in rows[0].keys() - {"step"}:
        curve = {int(row["step"]): float(row[name]) for row in rows if row[name]}
        history = client.get_metric_history(logged.info.run_id, name) if curve else []
        assert len(history) == len(curve)
        assert {metric.step: metric.value for metric in history} == pytest.approx(curve, rel=1e-4, abs=1e-5)
    artifacts = {artifact.path for artifact in client.list_artifacts(logged.info.run_id)}
    assert artifacts == {"config.yaml", "environment.json", "metrics.csv", "log.txt", "pictures"}
