"""Files of other programs, masks, captions, packaged detectors, results and parts, with bytes changed at random."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from detect.bench.explaining_records import ExplanationRecords
from detect.checkpoints.packaged import load_packaged, save_packaged
from detect.config import DataConfig
from detect.config.builders.resolve import resolve_data
from detect.data.masks import decode
from detect.data.sources import Source, load_sources
from detect.describe.formats.coco_captions import read_coco_captions
from detect.describe.formats.flickr8k import TOKEN_FILE, read_flickr8k
from detect.errors import RunError, UserError
from detect.inference.result_files import read_results
from detect.inference.result_writers import write_json
from detect.inference.shards.manifest import NAME, Manifest, ensure_manifest
from detect.inference.shards.read_parts import read_parts
from detect.inference.shards.stores import OutputFolder, Retries
from tests.bad_inputs.example_images import HEIGHT, WIDTH
from tests.bad_inputs.example_labels import coco_json, dataset_with
from tests.bad_inputs.mutations import COUNTS, count_refused
from tests.bench.test_explaining_records import SETTINGS, write_records
from tests.checkpoints.test_packaged import CARD, checkpoint
from tests.data.cases.test_labelme import RECTANGLE as LABELME_RECTANGLE
from tests.data.cases.test_labelme import _labelme
from tests.data.cases.write_cases import write_files
from tests.data.formats.test_annotation_tools import EXPORTS
from tests.describe.formats.test_coco_captions import coco
from tests.describe.formats.test_flickr8k import flickr8k

Example = tuple[Path, Callable[[], object]]  # a valid file, and what reads it
POLYGON, RLE = [[2, 3, 20, 3, 20, 30]], {"size": [HEIGHT, WIDTH], "counts": [100, 9, WIDTH * HEIGHT - 109]}


def tool_export(root: Path, name: str, files: dict[str, str]) -> Example:
    write_files(root, files | {"images/a.png": "image", "images/b.png": "image"})
    data = resolve_data(DataConfig(format="auto", root=str(root)))
    assert data.format in ("labelme", "cvat", "label-studio")
    kind, source = data.format, Source(root, str(data.train))
    return root / name, lambda: load_sources(kind, [source], None)


def labelme(root: Path) -> Example:
    return tool_export(root, "images/a.json", {"images/a.json": _labelme("a.png", [LABELME_RECTANGLE])})


def cvat(root: Path) -> Example:
    return tool_export(root, "annotations.xml", EXPORTS["cvat"]())


def label_studio(root: Path) -> Example:
    return tool_export(root, "project-1.json", EXPORTS["label-studio"]())


def coco_masks(root: Path) -> Example:
    document = json.loads(coco_json(segmentation=POLYGON))
    document["annotations"].append(document["annotations"][0] | {"id": 2, "segmentation": RLE})
    file = dataset_with("coco", json.dumps(document))(root)

    def read() -> None:
        annotations = load_sources("coco", [Source(root, "train")], None, masks=True)
        for image in (annotations[index] for index in range(len(annotations))):
            masks = [] if image.masks is None else [image.masks[index] for index in range(len(image.boxes))]
            bitmaps = [decode(mask, image.size) for mask in masks if mask is not None]
            assert {bitmap.shape for bitmap in bitmaps} <= {image.size}

    return file, read


def sentences(root: Path) -> Example:
    flickr8k(root)
    return root / TOKEN_FILE, lambda: read_flickr8k(root, "test")


def captions(root: Path) -> Example:
    file = coco(root) / "annotations" / "captions_val.json"
    return file, lambda: read_coco_captions(root, file, root / "annotations" / "instances_val.json")


def packaged_detector(root: Path) -> Example:
    file = root / "a.safetensors"
    save_packaged(checkpoint(), CARD, file)
    return file, lambda: load_packaged(file)


def results(root: Path) -> Example:
    from tests.inference.shards.test_read_parts import DETECTED

    file = root / "predictions.json"
    write_json(file, [DETECTED], ("cat", "dog"))
    return file, lambda: read_results(file)


def explanation_records(root: Path) -> Example:
    file = root / "records.jsonl"
    write_records(file)
    return file, lambda: ExplanationRecords(file, SETTINGS)


def part(root: Path) -> Example:
    pytest.importorskip("pyarrow.parquet", reason="the extra scale is not installed")
    from tests.inference.shards.test_read_parts import DETECTED, EMPTY, FAILED, write_parts

    (file,) = write_parts(root / "parts", [DETECTED, EMPTY, FAILED]).iterdir()
    return file, lambda: read_parts(file)


def manifest(root: Path) -> Example:
    pytest.importorskip("pyarrow.parquet", reason="the extra scale is not installed")
    (root / "list.txt").write_text("a.jpg\nb.jpg\n")
    (root / "out").mkdir()
    folder = OutputFolder(str(root / "out"), Retries(count=1, wait=0.001))
    ensure_manifest(folder, str(root / "list.txt"), 1)
    return root / "out" / NAME, lambda: Manifest(folder)


EXAMPLES = (
    labelme,
    cvat,
    label_studio,
    coco_masks,
    sentences,
    captions,
    packaged_detector,
    results,
    explanation_records,
    part,
    manifest,
)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("example", EXAMPLES)
def test_mutated_files_are_read_or_refused(
    example: Callable[[Path], Example],
    count: int,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    file, read = example(tmp_path)
    read()
    refusal = RunError if example is manifest else UserError
    assert count_refused(file, file.read_bytes(), read, count, refusal) > 0
    record_property("inputs", count)
