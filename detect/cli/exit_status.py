"""How a command ends: an exit status, and for what a user can cause one line on stderr."""

from __future__ import annotations

import re
import sys
from typing import NoReturn

import click

from detect.errors import UserError, nearest


def run_command(command: click.Command, name: str) -> NoReturn:
    """Run ``command`` on the command line's arguments and leave the process; ``--debug`` lets errors through."""
    try:
        status = command.main(prog_name=name, standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _leave(name, "interrupted", 130)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else name
        _leave(where, error.format_message() + _nearest_choice(error), 2)
    except UserError as error:
        if "--debug" in sys.argv:
            raise
        _leave(name, str(error), error.status)
    except OSError as error:  # a full disk, a right that is lost: the system's word is all there is to say
        if "--debug" in sys.argv:
            raise
        _leave(name, ": ".join(str(part) for part in (error.filename, error.strerror or error) if part), 1)


def _leave(name: str, message: str, status: int) -> NoReturn:
    """A name of the user's may hold line breaks; the message is one line all the same."""
    print(f"{name}: {' '.join(line.strip() for line in message.splitlines())}", file=sys.stderr)
    sys.exit(status)


def _nearest_choice(error: click.ClickException) -> str:
    """click lists the values of an option but does not say which one was meant."""
    if not isinstance(error, click.BadParameter) or error.param is None:
        return ""
    if not isinstance(error.param.type, click.Choice):
        return ""
    found = re.match(r"'(.*)' is not one of", error.message)
    return "" if found is None else nearest(found[1], map(str, error.param.type.choices))
