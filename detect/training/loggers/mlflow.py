"""A training as a run of MLflow: the curves of metrics.csv, the settings, the pictures and the log."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detect.errors import UserError
from detect.system.files import read_json_file, write_text
from detect.training.loggers.logger import EndStatus, LoggedRun

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "detect"
RUN_FILE = "mlflow.json"  # in the run folder: where the run is logged, for --resume
_STORE = "mlruns"  # MLflow's own name for its folder in the working directory
_MAX_BATCH = 100  # parameters in a call
_MAX_LENGTH = 500  # characters of a parameter
_CHANGED = re.compile(r"(.+) after step (\d+)")  # tag of a setting that a resumed run has changed
_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class MLflowLogger:
    """Logs to ``MLFLOW_TRACKING_URI`` where it is set, else to the folder ``mlruns`` in the working directory.

    Metrics have the names of the columns of metrics.csv; settings are parameters; config.yaml, environment.json,
    log.txt, metrics.csv and the pictures are artifacts. Weights are not copied: the tag ``folder`` names where they
    are. A resumed run goes on as the same run of MLflow, and a step that it has already is not added again, unless
    settings were changed: parameters of MLflow stay, so that tags (``train.lr after step 1000``) have the new ones.
    """

    name = "mlflow"

    def __init__(self) -> None:
        self._last_steps: dict[str, int] = {}  # of each metric that the run has already

    def start(self, run: LoggedRun) -> None:
        """Create the run, or go on with that of the folder. Raises UserError where it is gone."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read at the import: a training calls no other host
        from mlflow import MlflowClient

        known = run.folder / RUN_FILE
        if known.is_file():
            saved = read_json_file(known, "the MLflow run of this folder")
            self._client = _client(MlflowClient, saved["tracking_uri"])
            self._run_id = str(saved["run_id"])
            self._go_on(known, run)
            return
        uri = os.environ.get("MLFLOW_TRACKING_URI") or Path(_STORE).absolute().as_uri()
        self._client = _client(MlflowClient, uri)
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        experiment_id = self._client.create_experiment(EXPERIMENT) if experiment is None else experiment.experiment_id
        tags = {"folder": str(run.folder.absolute())}
        self._run_id = self._client.create_run(experiment_id, tags=tags, run_name=run.folder.name).info.run_id
        for batch in _batches(_parameters(run.settings)):
            self._client.log_batch(self._run_id, params=batch)
        write_text(known, json.dumps({"tracking_uri": uri, "run_id": self._run_id}, indent=1) + "\n")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add the cells of a row as metrics of their columns' names."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        new = {name: value for name, value in values.items() if step > self._last_steps.get(name, -1)}
        self._client.log_batch(self._run_id, [Metric(name, value, now, step) for name, value in new.items()])
        self._last_steps |= dict.fromkeys(new, step)

    def picture(self, step: int, file: Path) -> None:
        """Add a picture as an artifact, under its name and step."""
        self._client.log_artifact(self._run_id, str(file), f"pictures/{file.stem}/step-{step}")

    def file(self, file: Path) -> None:
        """Add a file as an artifact."""
        self._client.log_artifact(self._run_id, str(file))

    def end(self, status: EndStatus) -> None:
        """Set the status: FINISHED, KILLED or FAILED."""
        self._client.set_terminated(self._run_id, _STATUS[status])

    def _go_on(self, known: Path, run: LoggedRun) -> None:
        """Mark the run of MLflow as running, tag the settings that were changed, and find the steps that it has.

        After a change those that are repeated are added again: MLflow shows the later one of two.
        """
        from mlflow.exceptions import MlflowException

        try:
            data = self._client.get_run(self._run_id).data
            self._client.update_run(self._run_id, status="RUNNING")
            histories = {name: self._client.get_metric_history(self._run_id, name) for name in data.metrics}
        except MlflowException as error:
            raise UserError(f"{known}: expected a run that MLflow has, found none: {error.message}") from None
        tags = changed_settings_tags(data.params, data.tags, run)
        for tag, setting in tags.items():
            self._client.set_tag(self._run_id, tag, setting)
        was_changed = any(map(_CHANGED.fullmatch, [*data.tags, *tags]))
        for name, history in histories.items():
            last = max(metric.step for metric in history)
            self._last_steps[name] = min(last, run.steps_done) if was_changed else last


def changed_settings_tags(params: Mapping[str, str], tags: Mapping[str, str], run: LoggedRun) -> dict[str, str]:
    """Return a tag for each setting of a resumed run that is not that with which its last steps were made.

    params, tags: those of the run of MLflow; the tags have the settings that earlier resumes changed.
    """
    changes = [(int(match[2]), match[1], tags[tag]) for tag in tags if (match := _CHANGED.fullmatch(tag))]
    before = dict(params) | {key: setting for _, key, setting in sorted(changes)}
    now = {key: _parameter(setting) for key, setting in run.settings.items()}
    return {f"{key} after step {run.steps_done}": text for key, text in now.items() if before.get(key) != text}


def _client(client: type[MlflowClient], uri: str) -> MlflowClient:
    if uri.startswith("file:"):
        # from version 3.7 on MLflow opens a folder only where this is set, and its database needs more packages
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    return client(tracking_uri=uri)


def _parameters(settings: Mapping[str, object]) -> Iterator[Any]:
    from mlflow.entities import Param

    for key, setting in settings.items():
        yield Param(key, _parameter(setting))


def _parameter(setting: object) -> str:
    return str(setting)[:_MAX_LENGTH]


def _batches(parameters: Iterator[Any]) -> Iterator[Sequence[Any]]:
    while batch := list(islice(parameters, _MAX_BATCH)):
        yield batch
