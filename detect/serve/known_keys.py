"""Refuses keys of a request that the service does not know: it would answer as if they had not been there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from detect.errors import did_you_mean, shorten
from detect.serve.limits import RequestError

_MAX_COMPARED = 100  # characters of a key: a client may send megabytes


def require_known(part: str, keys: Iterable[str], known: Sequence[str], query_keys: Sequence[str] = ()) -> None:
    """Raise RequestError 400 for the first key that is not ``known`` in a part of the request.

    part: its name; query_keys: those of the query, one of which may be meant.
    """
    for key in keys:
        if key not in known:
            expected = f"no other keys than {', '.join(known)}" if known else "one part with a file name and no other"
            printable = key[:_MAX_COMPARED].encode("utf-8", "backslashreplace").decode()
            hint = did_you_mean(printable, [*known, *(f"?{name}=" for name in query_keys)])
            raise RequestError(400, f"{part}: expected {expected}, found {shorten(printable)}{hint}")
