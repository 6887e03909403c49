"""Valid files with bytes changed at random: every parser reads them or raises UserError, within a time limit."""

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
from tests.bad_inputs.example_binaries import INCOMPLETE_CHECKPOINT, npz_bytes, torch_save_bytes
from tests.bad_inputs.example_images import encode
from tests.bad_inputs.example_labels import LABEL_FILES, coco_json, dataset_with, voc_xml

NUM_FAST, NUM_SLOW = 40, 1250  # of each of the eight parsers: 320 in the fast suite, 10,000 by `pytest -m slow`
TIME_LIMIT = 5  # of the processor: on a loaded machine the clock says little
TOKENS = (b"", b"\0", b"-1", b"nan", b"1e999", b"9" * 40, b'"', b"[" * 2000, b"{}", b"<", b"&a;", b"*a", b"\xff\xfe")

LABEL_TEXTS = {
    "voc": voc_xml(),
    "coco": coco_json(area=4, iscrowd=0),
    "yolo": "0 0.5 0.5 0.1 0.1\n1 0.2 0.2 0.4 0.4\n",
    "csv": 'file,label,x1,y1,x2,y2\na.jpg,"cat",2,3,20,30\n',
}
SETTINGS = "seed: 3\nmodel: &m {kind: faster_rcnn}\ntrain:\n  epochs: 2\n  lr: 1e-3\ndata: {min_size: [80, 96]}\n"
FILES: dict[str, tuple[bytes, Callable[[Path], object]]] = {
    "c.yaml": (SETTINGS.encode(), load_config),
    "a.jpg": (encode("JPEG"), read_image),
    "a.pt": (torch_save_bytes(INCOMPLETE_CHECKPOINT | {"preprocess": {}}), load_checkpoint),
    "p.npz": (npz_bytes(), read_proposals),
}


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


def raise_timeout(*_: object) -> None:
    raise TimeoutError(f"more than {TIME_LIMIT} s")


@pytest.fixture(autouse=True)
def _handle_timeout() -> Iterator[None]:
    before = signal.signal(signal.SIGVTALRM, raise_timeout)
    yield
    signal.signal(signal.SIGVTALRM, before)


def count_refused(file: Path, data: bytes, read: Callable[[], object], count: int) -> int:
    """How many of so many mutated files are refused; anything but a refusal or an answer fails."""
    refused = 0
    for seed in range(count):
        file.write_bytes(mutate(data, random.Random(seed)))
        signal.setitimer(signal.ITIMER_VIRTUAL, TIME_LIMIT)
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


COUNTS = [pytest.param(NUM_FAST, id="fast"), pytest.param(NUM_SLOW, id="slow", marks=pytest.mark.slow)]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", LABEL_TEXTS)
def test_mutated_labels_are_read_or_refused(
    kind: DataFormat, count: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    text = LABEL_TEXTS[kind]
    dataset_with(kind, text)(tmp_path)
    source = Source(tmp_path, "train")
    file = tmp_path / LABEL_FILES[kind]
    assert count_refused(file, text.encode(), lambda: load_sources(kind, [source], None), count) > 0
    record_property("inputs", count)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", FILES)
def test_mutated_files_are_read_or_refused(
    name: str, count: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    data, read = FILES[name]
    assert count_refused(tmp_path / name, data, lambda: read(tmp_path / name), count) > 0
    record_property("inputs", count)
