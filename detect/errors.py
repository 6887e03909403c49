"""Errors that a user can cause, each a single line: the file or key, what was expected, what was found."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable

MAX_LENGTH = 80  # of a value in a message


class UserError(Exception):
    """Wrong usage, configuration or path. The command line prints only the message and exits with ``status``."""

    status = 2


class RunError(UserError):
    """The request was valid, but all or part of the work failed."""

    status = 1


class UnreadableImage(RunError):  # noqa: N818 - the name states the problem
    """An image that cannot be decoded. The message is one line with the file and the reason."""

    def __init__(self, message: str) -> None:
        printable = message.encode(
            "utf-8", "backslashreplace"
        ).decode()  # a file name need not be UTF-8, but a log file is
        super().__init__(" ".join(printable.split()))


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return a hint to append to a message, such as `` (did you mean "lr"?)``, or "" if no candidate is similar."""
    names = list(candidates)
    by_lower = {candidate.lower(): candidate for candidate in names}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f' (did you mean "{by_lower[matches[0]]}"?)' if matches else ""


def shorten(value: object) -> str:
    """Return a value as text for an error message: JSON where possible, at most MAX_LENGTH characters."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    except RecursionError:
        text = f"a deep {type(value).__name__}"
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 3]}..."


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
