"""Restarts by torchrun, which starts all processes again where one is lost, or where machines join or leave.

The new processes have the command of those before them. They resume the run that it began, from its last checkpoint,
with as many processes as there are now.
"""

from __future__ import annotations

import os
from pathlib import Path

from detect.config import Config
from detect.config.files import to_yaml
from detect.system.distributed import ProcessGroup
from detect.system.randomness import hash_key
from detect.training.run_folder import RUNS, RunFolder


def launch_identity(config: Config) -> str | None:
    """Return an id shared by this launch and its restarts, and by no other launch; None without one.

    config: the settings of the command, before any is chosen. Torchrun has a name for a launch that it can restart on
    other machines: ``--standalone`` draws one, ``--rdzv-id`` gives one.
    """
    name = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return None if name == "none" else f"{name} {hash_key(to_yaml(config)):x}"


def find_run_of_launch(config: Config, out: Path | None, name: str, group: ProcessGroup) -> Path | None:
    """Return the folder of the run that earlier processes of this launch have begun, None if there is none.

    out: the folder of the command; without it, runs/<name>-<n> are searched. The main process looks, and all get what
    it finds.
    """
    return group.gather(_find(launch_identity(config), out, name) if group.is_main else None)[0]


def _find(launch: str | None, out: Path | None, name: str) -> Path | None:
    folders = sorted(RUNS.glob(f"{name}-*")) if out is None else [out]
    runs = [RunFolder(folder) for folder in folders if launch is not None]
    return next((run.path for run in runs if run.config_file.is_file() and run.launch == launch), None)
