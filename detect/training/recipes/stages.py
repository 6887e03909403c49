"""Work in stages: each is done once, also when the run is cut off between two or inside one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from detect.config import Config
from detect.system.files import read_json_file, write_text
from detect.training.context import Work
from detect.training.run_folder import RunFolder


@dataclass(frozen=True)
class Stage:
    """name: also that of its folder, if it has one; what: for the log; run: does the work, or what is left of it."""

    name: str
    what: str
    run: Callable[[], object]


def carry_out(stages: Sequence[Stage], work: Work) -> None:
    """Run those that are not done yet; ``stages.json`` in the run's folder says which are."""
    file = work.folder.path / "stages.json"
    done: list[str] = read_json_file(file, "a list of stages") if file.is_file() else []
    for number, stage in enumerate(stages, start=1):
        if stage.name not in done:
            work.say(f"stage {number} of {len(stages)}, {stage.name}: {stage.what}")
            stage.run()
            done.append(stage.name)
            write_text(file, json.dumps(done) + "\n")


def stage_work(work: Work, name: str, config: Config) -> Work:
    """The same in the folder ``name`` inside the run's, a run folder of its own, with other settings."""
    folder = RunFolder(work.folder.path / name)
    if not (folder.config_file.is_file() and folder.environment_file.is_file()):
        folder = RunFolder.begun(folder.path, config, ["detect", "train", "--resume", str(work.folder.path)])
    return replace(work, config=config, folder=folder)
