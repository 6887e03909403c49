"""The end of a command: an exit status, and one line on stderr for an error that a user can cause."""

from __future__ import annotations

import re
import sys
from typing import NoReturn

import click

from detect.errors import UserError, did_you_mean


def run_command(command: click.Command, name: str) -> NoReturn:
    """Run ``command`` on the arguments of the command line and exit the process; ``--debug`` shows the traceback."""
    try:
        status = command.main(prog_name=name, standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _exit(name, "interrupted", 130)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else name
        _exit(where, error.format_message() + _nearest_choice(error), 2)
    except UserError as error:
        if "--debug" in sys.argv:
            raise
        _exit(name, str(error), error.status)
    except OSError as error:  # a full disk or a missing permission: the message of the system says all
        if "--debug" in sys.argv:
            raise
        _exit(name, ": ".join(str(part) for part in (error.filename, error.strerror or error) if part), 1)


def _exit(name: str, message: str, status: int) -> NoReturn:
    """Print the message as one line, although a file name in it may hold line breaks, and exit."""
    print(f"{name}: {' '.join(line.strip() for line in message.splitlines())}", file=sys.stderr)
    sys.exit(status)


def _nearest_choice(error: click.ClickException) -> str:
    """Return a hint with the nearest value of a choice: click only lists them."""
    if not isinstance(error, click.BadParameter) or error.param is None:
        return ""
    if not isinstance(error.param.type, click.Choice):
        return ""
    bad_choice = re.match(r"'(.*)' is not one of", error.message)
    return "" if bad_choice is None else did_you_mean(bad_choice[1], map(str, error.param.type.choices))
