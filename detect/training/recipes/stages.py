"""Run a recipe in stages: each is done once, also if the run is interrupted between two stages or inside one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from detect.config import Config
from detect.system.files import read_json_file, write_text
from detect.training.context import RunContext
from detect.training.run_folder import RunFolder


@dataclass(frozen=True)
class Stage:
    """A stage of a recipe.

    name: also that of its folder, if it has one; description: for the log; run: does the stage, or the rest of it.
    """

    name: str
    description: str
    run: Callable[[], object]


def run_stages(stages: Sequence[Stage], context: RunContext) -> None:
    """Run the stages that are not done yet; ``stages.json`` in the run folder lists those that are done."""
    file = context.folder.path / "stages.json"
    done: list[str] = read_json_file(file, "a list of stages") if file.is_file() else []
    for index, stage in enumerate(stages, start=1):
        if stage.name not in done:
            context.log(f"stage {index} of {len(stages)}, {stage.name}: {stage.description}")
            stage.run()
            done.append(stage.name)
            write_text(file, json.dumps(done) + "\n")


def stage_context(context: RunContext, name: str, config: Config) -> RunContext:
    """Return the context with another configuration and a run folder of its own, ``name`` inside the run folder."""
    folder = RunFolder(context.folder.path / name)
    if not (folder.config_file.is_file() and folder.environment_file.is_file()):
        folder = RunFolder.begin(folder.path, config, ["detect", "train", "--resume", str(context.folder.path)])
    return replace(context, config=config, folder=folder)
