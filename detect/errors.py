"""Errors that a user can cause: one line that names the file or key, what was expected and what was found."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable


class UserError(Exception):
    """Wrong usage, configuration or path. The command line prints the message alone and exits with ``status``."""

    status = 2


class WorkError(UserError):
    """The request was right but the work failed, or part of it did."""

    status = 1


def nearest(name: str, candidates: Iterable[str]) -> str:
    """A hint to append to a message: `` (did you mean "lr"?)``, or nothing where no candidate is near."""
    known = list(candidates)
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f' (did you mean "{by_lower[found[0]]}"?)' if found else ""


def told(value: object, longest: int = 80) -> str:
    """What a file holds, as it may stand in an error's line: JSON where it can be, cut to ``longest`` letters."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    except RecursionError:
        text = f"a deep {type(value).__name__}"
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
