"""A VOC folder, read to its end whatever is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from detect.data.formats.split_names import split_of
from detect.data.formats.voc import list_folders
from detect.data.formats.voc_xml import VocPage, read_page, refuse_cvat
from detect.data.images import is_image
from detect.data.inspect.findings import Finding
from detect.data.inspect.scan_records import SeenImage, SeenObject, Survey
from detect.errors import UserError
from detect.system.files import existing_folder

_XML = "[!.]*.xml"


def read_voc_survey(root: Path) -> Survey:
    """Every annotation, every image and every list of ``root``; without Annotations, XML files beside their images.

    Raises UserError where there is no annotation at all, or CVAT's own.
    """
    refuse_cvat(existing_folder(root, "a VOC folder"))
    labels = _first(root, ("Annotations", "annotations"))
    folder = root if labels == root else _first(root, ("JPEGImages", "images"))
    xmls = {_key(xml, labels): xml for xml in sorted(labels.rglob(_XML) if labels == root else labels.glob(_XML))}
    if not xmls:
        raise UserError(f"{root}: expected VOC annotations (.xml) in Annotations or beside images, found none")
    images = _images(folder, below=labels == root)
    lists, findings = _lists(root / "ImageSets" / "Main")
    lists |= {name: {key for key in xmls if key.startswith(f"{name}/")} for name in list_folders(root)}
    findings += _strays(labels, images, xmls, lists)
    image_files = []
    for key, xml in xmls.items():
        image = _image(xml, images.get(key, folder / f"{key}.jpg"), findings)
        splits = frozenset(role for name, listed in lists.items() if key in listed and (role := split_of(name)))
        image_files.append(replace(image, splits=splits))
    return Survey("voc", root, tuple(image_files), None, tuple(findings))


def _first(root: Path, names: Sequence[str]) -> Path:
    """The first of the folders that is there, else ``root`` itself."""
    return next((root / name for name in names if (root / name).is_dir()), root)


def _key(file: Path, folder: Path) -> str:
    """What an annotation and its image have in common, and what a list names."""
    return file.relative_to(folder).with_suffix("").as_posix()


def _images(folder: Path, below: bool) -> dict[str, Path]:
    """Key to image, with those in folders below or without; ``.jpg`` before other suffixes, as for the reader."""
    entries = folder.rglob("*") if below else folder.glob("*")
    found = sorted(entry for entry in entries if is_image(entry))
    by_preference = sorted(found, key=lambda entry: entry.suffix.lower() in (".jpg", ".jpeg"))
    return {_key(entry, folder): entry.absolute() for entry in by_preference}


def _lists(folder: Path) -> tuple[dict[str, set[str]], list[Finding]]:
    """List name to stems."""
    lists: dict[str, set[str]] = {}
    findings = []
    for file in sorted(folder.glob("*.txt")):
        stems = Counter(line.split()[0] for line in file.read_text("utf-8-sig", "replace").splitlines() if line.strip())
        findings += [
            Finding("repeated-id", str(file), stem, f"listed {count} times")
            for stem, count in stems.items()
            if count > 1
        ]
        lists[file.stem] = set(stems)
    return lists, findings


def _strays(labels: Path, images: dict[str, Path], xmls: dict[str, Path], lists: dict[str, set[str]]) -> list[Finding]:
    """What has no partner."""
    listed = set().union(*lists.values())
    findings = [
        Finding("missing-annotation", str(labels / f"{stem}.xml"), "", "listed, not there")
        for stem in sorted(listed - set(xmls))
    ]
    findings += [
        Finding("unlabelled-image", str(images[stem]), "", f"no {labels / stem}.xml")
        for stem in sorted(set(images) - set(xmls) - listed)
    ]
    if listed:
        findings += [
            Finding("unlisted", str(xmls[stem]), "", "in no list")
            for stem in sorted((set(xmls) & set(images)) - listed)
        ]
    return findings


def _image(xml: Path, image: Path, findings: list[Finding]) -> SeenImage:
    """The image of one XML file; without objects, and a finding more, where it cannot be read."""
    try:
        page = read_page(xml)
    except UserError as error:
        findings.append(Finding("damaged-annotation", str(xml), "", str(error).removeprefix(f"{xml}: ")))
        page = VocPage(None, ())
    objects = []
    for item in page.objects:
        where = f"object {item.place}"
        if item.name:
            objects.append(SeenObject(where, item.name, item.corners, item.box, item.difficult, item.crowd))
        else:
            findings.append(Finding("damaged-annotation", str(xml), where, "expected a <name>, found none"))
    return SeenImage(image.absolute(), xml, page.size, tuple(objects))
