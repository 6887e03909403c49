"""Labels, images, settings and checkpoints with bytes changed at random are read or refused, within a time limit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config.files import load_config
from detect.data.images import read_image
from detect.data.sources import DataFormat, Source, load_sources
from detect.proposals.files import read_proposals
from tests.bad_inputs.example_binaries import INCOMPLETE_CHECKPOINT, npz_bytes, torch_save_bytes
from tests.bad_inputs.example_images import encode
from tests.bad_inputs.example_labels import LABEL_FILES, coco_json, dataset_with, voc_xml
from tests.bad_inputs.mutations import COUNTS, count_refused

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
