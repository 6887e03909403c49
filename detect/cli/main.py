"""The command ``detect``. Each subcommand is a file, imported when it is called: ``--help`` needs no torch."""

from __future__ import annotations

import importlib
from typing import NoReturn

import click

from detect.cli.exit_status import run_command
from detect.cli.group import Group
from detect.system.cpu import share_cores
from detect.version import __version__

COMMANDS = {
    "train": "Train a detector, or go on with a run that was cut off.",
    "pretrain": "Train a backbone as a classifier of objects.",
    "eval": "Score a model on a data set.",
    "predict": "Detect on images, folders and globs.",
    "data": "Labelled images: what is wrong with them, what they hold, how they look.",
    "report": "One HTML page about a run: numbers, curves, errors, images.",
    "explain": "What made each detection: anchor, proposal, region, suppression.",
    "bench": "How fast: inference, training, loading, beside others.",
    "proposals": "Search boxes that may hold an object; score them.",
    "config": "List, show and copy the configurations that come with detect.",
    "model": "Layers, sizes and costs of a model; a smaller one.",
    "doctor": "Check this machine: each problem with its cure.",
}


class Lazy(Group):
    """A group that imports a subcommand only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order of work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, or None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"detect.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """One line each, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Lazy, epilog="Example: detect train --config configs/faster_rcnn.yaml")
@click.version_option(__version__, prog_name="detect")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """R-CNN, Fast R-CNN and Faster R-CNN: train, evaluate, detect."""


def run() -> NoReturn:
    """The console script."""
    share_cores()
    run_command(main, "detect")
