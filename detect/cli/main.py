"""The command ``detect``. Each subcommand is a file, imported when it is called: ``--help`` needs no torch."""

from __future__ import annotations

import importlib
import sys

import click

from detect import __version__
from detect.cli.group import Group
from detect.errors import UserError

COMMANDS = {
    "train": "Train a detector, or go on with a run that was cut off.",
    "eval": "Score a model on a data set.",
    "predict": "Detect on photos, folders and globs.",
    "proposals": "Search boxes that may hold an object; score them.",
    "config": "List, show and copy the configurations that come with detect.",
    "model": "Layers, sizes and costs of a model.",
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


def run() -> None:
    """The console script: errors a user can cause are one line and an exit status."""
    try:
        status = main.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        print("detect: interrupted", file=sys.stderr)
        sys.exit(130)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else "detect"
        print(f"{where}: {' '.join(error.format_message().split())}", file=sys.stderr)
        sys.exit(2)
    except UserError as error:
        if "--debug" in sys.argv:
            raise
        print(f"detect: {error}", file=sys.stderr)
        sys.exit(error.status)
    except KeyboardInterrupt:
        print("detect: interrupted", file=sys.stderr)
        sys.exit(130)
