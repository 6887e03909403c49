"""Run a command and exit with its status; print an error that a user can cause as one line on stderr."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn

import click

from detect.errors import UserError, did_you_mean
from detect.system.memory import memory_shortage

# ~ at the beginning of a path: shells leave it in --out=~/x, and in quotes, which globs need
_HOME = re.compile(r"^(--[a-z-]+=)?~(?=/|$)")


def run_command(command: click.Command, name: str) -> NoReturn:
    """Run ``command`` on the arguments of the command line and exit the process; ``--debug`` shows the traceback."""
    arguments = [_HOME.sub(_expand_home, argument) for argument in sys.argv[1:]]
    try:
        status = command.main(arguments, prog_name=name, standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _exit(name, "interrupted", 130)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else name
        _exit(where, error.format_message() + _nearest_choice(error) + _file_with_dash(error), 2)
    except UserError as error:
        if "--debug" in sys.argv:
            raise
        _exit(name, str(error), error.status)
    except OSError as error:  # a full disk or a missing permission: the message of the system says all
        if "--debug" in sys.argv:
            raise
        _exit(name, ": ".join(str(part) for part in (error.filename, error.strerror or error) if part), 1)
    except (RuntimeError, MemoryError) as error:
        shortage = memory_shortage(error)
        if shortage is None or "--debug" in sys.argv:
            raise
        _exit(
            name,
            f"memory: expected enough for a batch, found {shortage}; lower train.batch_size (or --batch-size) or "
            "data.min_size",
            1,
        )


def _expand_home(match: re.Match[str]) -> str:
    """Return the beginning of an argument with the user's home for ~."""
    return f"{match[1] or ''}{Path.home()}"


def exit_if_unreadable(messages: Collection[str], num_images: int | None = None, *, logged: bool = False) -> None:
    """Exit with status 1 if any image could not be read, and report these images on stderr.

    messages: one for each of these images, with its file and the reason. num_images: number of all images, if it should
    be printed. logged: the messages are in log.txt already, so that only their number is printed.
    """
    if not messages:
        return
    if logged:
        print(f"detect: {len(messages)} images could not be read (see log.txt)", file=sys.stderr)
    else:
        for message in messages:
            print(f"detect: {message}", file=sys.stderr)
        if num_images is not None:
            print(f"detect: {len(messages)} of {num_images} images could not be read", file=sys.stderr)
    sys.exit(1)


def _exit(name: str, message: str, status: int) -> NoReturn:
    """Print the message as one line, although a file name in it may contain line breaks, and exit."""
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


def _file_with_dash(error: click.ClickException) -> str:
    """Return a hint where the option that is not there is a file whose name begins with a dash."""
    if not isinstance(error, click.NoSuchOption):
        return ""
    names = (name for name in sys.argv[1:] if name.startswith(error.option_name) and os.path.lexists(name))
    name = next(names, None)
    return "" if name is None else f" (the file of this name: ./{name})"
