"""Valid files with bytes changed at random, and the count of those that a parser refuses."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from detect.errors import UserError

# Of each of the 19 parsers: 760 files in the fast suite, 7,600 by `pytest -m slow`, 100,700 by `pytest -m long`.
COUNTS = [
    pytest.param(40, id="fast"),
    pytest.param(400, id="slow", marks=pytest.mark.slow),
    pytest.param(5300, id="long", marks=pytest.mark.long),
]
TIME_LIMIT = 5  # of the processor: on a loaded machine the clock says little
TOKENS = (b"", b"\0", b"-1", b"nan", b"1e999", b"9" * 40, b'"', b"[" * 2000, b"{}", b"<", b"&a;", b"*a", b"\xff\xfe")


def mutate(data: bytes, draw: random.Random) -> bytes:
    """One to four changes: bytes flipped, cut out, repeated, or replaced by what has hurt parsers before."""
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(data) + 1)
        end = min(len(data), start + draw.randint(0, 12))
        kind = draw.randrange(4)
        if kind == 0:
            put = bytes(byte ^ 1 << draw.randrange(8) for byte in data[start:end])
        elif kind == 1:
            put = b""
        elif kind == 2:
            put = data[start:end] * draw.randint(2, 9)
        else:
            put = draw.choice(TOKENS)
        data = data[:start] + put + data[end:]
    return data


def count_refused(
    file: Path, data: bytes, read: Callable[[], object], count: int, refusal: type[Exception] = UserError
) -> int:
    """How many of so many mutated files are refused; anything but a refusal in one line, or an answer, fails."""
    messages: list[str] = []
    with _limited_time():
        for seed in range(count):
            file.write_bytes(mutate(data, random.Random(seed)))
            signal.setitimer(signal.ITIMER_VIRTUAL, TIME_LIMIT)
            try:
                read()
            except refusal as error:
                messages.append(str(error))
            except Exception as error:
                error.add_note(f"{file.name}, seed {seed}")
                raise
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    assert [message for message in messages if "\n" in message] == []
    return len(messages)


@contextmanager
def _limited_time() -> Iterator[None]:
    before = signal.signal(signal.SIGVTALRM, _raise_timeout)
    try:
        yield
    finally:
        signal.signal(signal.SIGVTALRM, before)


def _raise_timeout(*_: object) -> None:
    raise TimeoutError(f"more than {TIME_LIMIT} s")
