"""Adds faults to copies of real data sets, each to a different image: all of them are found, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detect.data.findings import DatasetFinding
from tests.data.folders import voc_object
from tests.data.inspect.test_inspector import inspect_folder

pytestmark = pytest.mark.slow

_BOX = re.compile(r"<bndbox>.*?</bndbox>", re.DOTALL)
_NAME = re.compile(r"(<object>\s*<name>)(.*?)(</name>)", re.DOTALL)


class VocExample:
    """One image of a VOC folder, to which a fault is added."""

    def __init__(self, root: Path, stem: str, donor: str) -> None:
        self.root, self.stem = root, stem
        self.xml = root / "Annotations" / f"{stem}.xml"
        self.image, self.donor = (root / "JPEGImages" / f"{name}.jpg" for name in (stem, donor))
        self.text = self.xml.read_text()
        sides = (re.search(f"<{side}>(\\d+)</{side}>", self.text) for side in ("width", "height"))
        self.width, self.height = (int(found[1]) for found in sides if found)

    def set_first_box(self, *corners: object) -> None:
        tags = "".join(f"<{t}>{c}</{t}>" for t, c in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
        self.xml.write_text(_BOX.sub(f"<bndbox>{tags}</bndbox>", self.text, count=1))

    def change_first_name(self, change: Callable[[str], str]) -> None:
        self.xml.write_text(_NAME.sub(lambda found: found[1] + change(found[2]) + found[3], self.text, count=1))

    def add_objects(self, *objects: str) -> None:
        self.xml.write_text(self.text.replace("</annotation>", "".join(objects) + "</annotation>"))

    def append_to_split(self, name: str) -> None:
        with (self.root / f"ImageSets/Main/{name}.txt").open("a") as stream:
            stream.write(f"{self.stem}\n")

    def set_exif_rotation(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 8
        Image.open(self.image).copy().save(self.image, exif=exif)


UNIQUE_OBJECT = voc_object("{}", 11, 13, 29, 31)  # a position and size that no object of the real data sets has
FAULTS: dict[str, tuple[str, Callable[[VocExample], object]]] = {
    "truncated": ("unreadable-image", lambda example: example.image.write_bytes(example.image.read_bytes()[:-900])),
    "empty": ("unreadable-image", lambda example: example.image.write_bytes(b"")),
    "a text": ("unreadable-image", lambda example: example.image.write_text("<html>")),
    "PNG": ("wrong-suffix", lambda example: Image.open(example.image).copy().save(example.image, format="PNG")),
    "resized": ("wrong-size", lambda example: Image.open(example.image).resize((177, 131)).save(example.image)),
    "turned": ("rotated", VocExample.set_exif_rotation),
    "image gone": ("missing-image", lambda example: example.image.unlink()),
    "copied": ("duplicate-image", lambda example: shutil.copy(example.donor, example.image)),
    "recompressed": (
        "near-duplicate",
        lambda example: Image.open(example.donor).copy().save(example.image, quality=35),
    ),
    "in both lists": ("leak", lambda example: example.append_to_split("val")),
    "cut XML": ("damaged-annotation", lambda example: example.xml.write_text(example.text[:-40])),
    "no name": ("damaged-annotation", lambda example: example.change_first_name(lambda _: "")),
    "letters": ("similar-names", lambda example: example.change_first_name(str.swapcase)),
    "no number": ("not-finite", lambda example: example.set_first_box(10, 10, "?", 90)),
    "swapped": ("swapped-corners", lambda example: example.set_first_box(90, 10, 40, 80)),
    "no extent": ("no-extent", lambda example: example.set_first_box(90, 10, 90, 80)),
    "outside": ("outside", lambda example: example.set_first_box(example.width + 9, 10, example.width + 60, 80)),
    "reaching outside": ("reaches-outside", lambda example: example.set_first_box(10, 10, 80, example.height + 9)),
    "from 0": ("shifted-corners", lambda example: example.set_first_box(0, 0, 80, 70)),
    "tiny": ("tiny", lambda example: example.set_first_box(50, 50, 51, 51)),
    "whole": ("whole-image", lambda example: example.set_first_box(1, 1, example.width, example.height)),
    "fractions": ("fractions", lambda example: example.set_first_box(0.25, 0.25, 0.5, 0.75)),
    "boxed twice": (
        "duplicate-box",
        lambda example: example.add_objects(*[UNIQUE_OBJECT.format(_first_name(example))] * 2),
    ),
    "no annotation": ("missing-annotation", lambda example: example.xml.unlink()),
}


def _first_name(example: VocExample) -> str:
    found = _NAME.search(example.text)
    assert found is not None
    return found[2]


def _count(findings: list[DatasetFinding]) -> Counter[tuple[str, str, str, str]]:
    return Counter((finding.kind, finding.file, finding.location, finding.message) for finding in findings)


def _copy_dataset(source: Path, target: Path) -> Path:
    """Files that can be written."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    return target


def _pairs_without_findings(root: Path, taken: str) -> list[tuple[str, str]]:
    """(stem, donor of the same size) of training images that no finding names."""
    by_size: dict[tuple[int, int], list[str]] = {}
    for stem in (root / "ImageSets/Main/train.txt").read_text().split():
        if stem not in taken:
            with Image.open(root / f"JPEGImages/{stem}.jpg") as image:
                by_size.setdefault(image.size, []).append(stem)
    stems = max((group for group in by_size.values()), key=len)
    half = len(stems) // 2
    return list(zip(stems[:half], stems[half:], strict=False))


@pytest.mark.parametrize("name", ["bccd", "VOCdevkit/VOC2007"])
def test_faults_in_real_voc_data_are_found(shared_data: Path, tmp_path: Path, name: str) -> None:
    root = _copy_dataset(shared_data / name, tmp_path / "set")
    before = inspect_folder(root)
    pairs = _pairs_without_findings(root, " ".join(finding.file + finding.message for finding in before))
    for (_, plant), (stem, donor) in zip(FAULTS.values(), pairs, strict=False):
        plant(VocExample(root, stem, donor))
    after = inspect_folder(root)
    expected = Counter(kind for kind, _ in FAULTS.values())
    new = _count(after) - _count(before)
    assert Counter(kind for kind, *_ in new.elements()) == expected
    assert _count(before) - _count(after) == Counter()
    for (kind, _), (stem, _) in zip(FAULTS.values(), pairs, strict=False):
        assert kind == "similar-names" or any(
            kind == finding[0] and stem in finding[1] + finding[3] for finding in new
        ), (kind, stem)


def _add_faults(document: dict[str, Any], images: Path) -> dict[str, int]:
    """Add 20 faults to a COCO file, each to a different annotation or image; return the count of each kind."""
    records, image_files = document["annotations"], [record["file_name"] for record in document["images"]]
    names = iter(image_files[40:])
    (images / next(names)).write_bytes(b"")
    (images / next(names)).write_text("no image")
    cut = images / next(names)
    cut.write_bytes(cut.read_bytes()[:-2000])
    png = images / next(names)
    Image.open(png).copy().save(png, format="PNG")
    small = images / next(names)
    Image.open(small).resize((77, 61)).save(small)
    (images / next(names)).unlink()
    shutil.copy(images / image_files[0], images / "copy.jpg")
    shutil.copy(images / image_files[1], images / "unlabelled.jpg")
    first = document["images"][0]
    document["images"].append(first | {"id": 10**9, "file_name": "copy.jpg"})
    spare = iter(
        [record for record in records if record["image_id"] in [image["id"] for image in document["images"][:30]]]
    )
    next(spare)["bbox"] = [1, 2, 3]
    next(spare)["bbox"] = [50, 50, -20, 30]
    next(spare)["bbox"] = [50, 50, 0, 30]
    next(spare)["bbox"] = [5000, 50, 20, 30]
    next(spare)["bbox"] = [10, 10, 5000, 30]
    next(spare)["bbox"] = [0.1, 0.2, 0.3, 0.4]
    next(spare)["bbox"] = [30.5, 40.5, 2, 2]
    next(spare)["bbox"] = [10, 10, float("inf"), 30]
    next(spare)["category_id"] = 12345
    next(spare)["image_id"] = 12345
    next(spare).pop("id")
    next(spare)["id"] = records[-1]["id"]
    records.append(records[-1] | {"id": 10**9})
    document["categories"].append({"id": 10**6, "name": document["categories"][0]["name"].title()})
    return {
        "unreadable-image": 3,
        "wrong-suffix": 1,
        "wrong-size": 1,
        "missing-image": 1,
        "duplicate-image": 1,
        "unlabelled-image": 1,
        "damaged-annotation": 1,
        "swapped-corners": 1,
        "no-extent": 1,
        "outside": 1,
        "reaches-outside": 1,
        "fractions": 1,
        "tiny": 1,
        "not-finite": 1,
        "unknown-id": 2,
        "no-id": 1,
        "repeated-id": 1,
        "duplicate-box": 1,
        "similar-names": 1,
    }


def test_faults_in_real_coco_data_are_found(shared_data: Path, tmp_path: Path) -> None:
    root = _copy_dataset(shared_data / "coco_mini", tmp_path / "set")
    before = Counter(finding.kind for finding in inspect_folder(root) if finding.kind != "rare-class")
    document = json.loads((root / "instances.json").read_text())
    planted = _add_faults(document, root / "images")
    (root / "instances.json").write_text(json.dumps(document))
    after = Counter(finding.kind for finding in inspect_folder(root) if finding.kind != "rare-class")
    assert after - before == Counter(planted)
    assert before - after == Counter()
