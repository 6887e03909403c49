"""The command ``detect``. Each subcommand is a file, imported when it is called: ``--help`` needs no torch."""

from __future__ import annotations

import importlib
from typing import NoReturn

import click

from detect.cli.exit_status import run_command
from detect.cli.group import Group
from detect.system.cpu import limit_thread_spinning
from detect.version import __version__

COMMANDS = {
    "train": "Train a detector, or resume an interrupted run.",
    "pretrain": "Train a backbone as a classifier of objects.",
    "eval": "Score a model on a data set.",
    "predict": "Detect on images, folders and globs.",
    "results": "Convert files of detections.",
    "serve": "Answer HTTP requests with a detector, and show a page.",
    "data": "Inspect, summarize, show and convert labelled data.",
    "report": "Write one HTML page about a run: metrics, curves, errors, images.",
    "explain": "Explain each detection: anchor, proposal, region, suppression.",
    "describe": "Align sentences with regions, search photos by words, write sentences.",
    "bench": "Benchmark inference, training and loading against other libraries.",
    "proposals": "Generate region proposals (boxes that may contain an object) and score them.",
    "config": "List, show and copy the configurations that come with detect.",
    "model": "Summarize, import, export and compress models.",
    "doctor": "Check this machine: each problem with its fix.",
}


class LazyGroup(Group):
    """Group of commands that imports a subcommand only when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands in the order in which a user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import detect/cli/<name>.py and return its <name>_command; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"detect.cli.{cmd_name}"), f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write one line for each command, without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, epilog="Example: detect train --config configs/faster_rcnn.yaml")
@click.version_option(__version__, prog_name="detect")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """The R-CNN family, from R-CNN to Cascade and Mask R-CNN: train, evaluate, detect."""


def run() -> NoReturn:
    """Run the console script ``detect``."""
    limit_thread_spinning()
    run_command(main, "detect")
