"""Every bad input is read correctly, or refused in one line with its file name; none hangs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from detect.data.annotations import Annotations
from detect.data.images import image_size, read_image
from detect.data.sources import DataFormat, Source, load_sources
from detect.errors import UnreadableImage, UserError
from detect.inference.find_images import find_images
from tests.bad_inputs.bad_input import BadInput
from tests.bad_inputs.example_images import HEIGHT, IMAGES, WIDTH
from tests.bad_inputs.example_labels import ACCEPTED, REFUSED

FORMATS: dict[str, DataFormat] = {"voc": "voc", "coco": "coco", "yolo": "yolo", "csv": "csv", "data.yaml": "yolo"}


@pytest.fixture(autouse=True)
def _fail_after_two_minutes() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError("more than 120 s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def load_dataset(name: str, folder: Path) -> Annotations:
    return load_sources(FORMATS[name.partition(":")[0]], [Source(folder, "train")], None)


@pytest.mark.parametrize("name", [name for name, bad_input in IMAGES.items() if bad_input.error])
@pytest.mark.parametrize("reader", [read_image, image_size])
def test_bad_image_is_refused_with_its_file_name(name: str, reader: Callable[[Path], object], tmp_path: Path) -> None:
    path = IMAGES[name].write(tmp_path)
    if reader is image_size and "cut" in name:
        return  # its header is whole
    with pytest.raises(UnreadableImage, match=f"(?i){IMAGES[name].error}") as raised:
        reader(path)
    message = str(raised.value)
    assert message.startswith(str(path).encode("utf-8", "backslashreplace").decode())
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("name", [name for name, bad_input in IMAGES.items() if not bad_input.error])
def test_unusual_image_is_read_as_upright_rgb(name: str, tmp_path: Path) -> None:
    path = IMAGES[name].write(tmp_path)
    found = read_image(path)
    assert found.dtype == np.uint8
    assert found.shape[2:] == (3,)
    assert image_size(path) == found.shape[:2]
    if name.startswith("EXIF orientation") and name[-1] in "5678":
        assert found.shape[:2] == (WIDTH, HEIGHT)


def test_find_images_continues_after_bad_images(tmp_path: Path) -> None:
    for place, bad_input in enumerate(IMAGES.values()):
        (tmp_path / str(place)).mkdir()
        bad_input.write(tmp_path / str(place))
    found = find_images([str(tmp_path)])
    assert len(found) == len(IMAGES)  # the folder is none, the loop is two links
    unreadable = 0
    for image in found:
        try:
            read_image(image)
        except UnreadableImage:
            unreadable += 1
    assert unreadable == sum(bool(bad_input.error) for bad_input in IMAGES.values())


@pytest.mark.parametrize("name", REFUSED)
def test_bad_labels_are_refused_with_their_file_name(name: str, tmp_path: Path) -> None:
    bad_input: BadInput = REFUSED[name]
    bad_input.write(tmp_path)
    with pytest.raises(UserError, match=bad_input.error) as raised:
        load_dataset(name, tmp_path)
    message = str(raised.value)
    assert message.startswith(str(tmp_path))
    assert len(message) < 6000
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ACCEPTED)
def test_unusual_labels_give_the_box_or_report_it_as_dropped(name: str, tmp_path: Path) -> None:
    write, box, reason = ACCEPTED[name]
    labels = write(tmp_path)
    found = load_dataset(name, tmp_path)
    assert found.boxes.tolist() == ([] if box is None else [list(box)])
    assert len(found.boxes) + len(found.dropped) == 1
    assert [reason in dropped.reason for dropped in found.dropped] == [True] * (box is None)
    assert all(dropped.file == str(labels) for dropped in found.dropped)
