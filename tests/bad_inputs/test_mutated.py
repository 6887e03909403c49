"""Valid files with bytes changed at random: a parser reads them or says in its own words why not, and soon."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config.files import load_config
from detect.data.images import read_image
from detect.data.sources import DataFormat, Source, load_sources
from detect.errors import UserError
from detect.proposals.files import read_proposals
from tests.bad_inputs.nasty_binaries import OF_OTHERS, npz, saved
from tests.bad_inputs.nasty_images import encoded
from tests.bad_inputs.nasty_labels import LABELS, coco, data_set, xml

FAST, SLOW = 40, 1250  # of each of the eight parsers: 320 in the fast suite, 10,000 by `pytest -m slow`
SECONDS = 5  # of the processor: on a loaded machine the clock says little
TOKENS = (b"", b"\0", b"-1", b"nan", b"1e999", b"9" * 40, b'"', b"[" * 2000, b"{}", b"<", b"&a;", b"*a", b"\xff\xfe")

LABEL_TEXTS = {
    "voc": xml(),
    "coco": coco(area=4, iscrowd=0),
    "yolo": "0 0.5 0.5 0.1 0.1\n1 0.2 0.2 0.4 0.4\n",
    "csv": 'file,label,x1,y1,x2,y2\na.jpg,"cat",2,3,20,30\n',
}
SETTINGS = "seed: 3\nmodel: &m {kind: faster_rcnn}\ntrain:\n  epochs: 2\n  lr: 1e-3\ndata: {min_size: [80, 96]}\n"
FILES: dict[str, tuple[bytes, Callable[[Path], object]]] = {
    "c.yaml": (SETTINGS.encode(), load_config),
    "a.jpg": (encoded("JPEG"), read_image),
    "a.pt": (saved(OF_OTHERS | {"preprocess": {}}), load_checkpoint),
    "p.npz": (npz(), read_proposals),
}


def mutated(data: bytes, draw: random.Random) -> bytes:
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


def late(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


@pytest.fixture(autouse=True)
def _alarm() -> Iterator[None]:
    before = signal.signal(signal.SIGVTALRM, late)
    yield
    signal.signal(signal.SIGVTALRM, before)


def refusals(file: Path, data: bytes, read: Callable[[], object], count: int) -> int:
    """How many of so many mutated files are refused; anything but a refusal or an answer fails."""
    refused = 0
    for seed in range(count):
        file.write_bytes(mutated(data, random.Random(seed)))
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        try:
            read()
        except UserError:
            refused += 1
        except Exception as error:
            error.add_note(f"{file.name}, seed {seed}")
            raise
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return refused


COUNTS = [pytest.param(FAST, id="fast"), pytest.param(SLOW, id="slow", marks=pytest.mark.slow)]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", LABEL_TEXTS)
def test_labels(kind: DataFormat, count: int, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    text = LABEL_TEXTS[kind]
    data_set(kind, text)(tmp_path)
    source = Source(tmp_path, "train")
    file = tmp_path / LABELS[kind]
    assert refusals(file, text.encode(), lambda: load_sources(kind, [source], None), count) > 0
    record_property("inputs", count)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", FILES)
def test_files(name: str, count: int, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    data, read = FILES[name]
    assert refusals(tmp_path / name, data, lambda: read(tmp_path / name), count) > 0
    record_property("inputs", count)
