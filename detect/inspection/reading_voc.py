"""A VOC folder, read to its end whatever is in it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from detect.data.images import SUFFIXES
from detect.data.voc_xml import VocPage, read_page
from detect.errors import UserError
from detect.files import existing_folder
from detect.inspection.findings import Finding
from detect.inspection.records import SeenObject, SeenPhoto, Survey, split_of


def read_voc_survey(root: Path) -> Survey:
    """Every annotation, every photo and every list of ``root``. Raises UserError where there are no Annotations."""
    folder = existing_folder(existing_folder(root, "a VOC folder") / "Annotations", "VOC's folder of annotations")
    images = _images(root / "JPEGImages")
    lists, findings = _lists(root / "ImageSets" / "Main")
    stems = {xml.stem: xml for xml in sorted(folder.glob("*.xml"))}
    findings += _strays(root, images, stems, lists)
    photos = []
    for stem, xml in stems.items():
        photo = _photo(xml, images.get(stem, root / "JPEGImages" / f"{stem}.jpg"), findings)
        splits = frozenset(role for name, listed in lists.items() if stem in listed and (role := split_of(name)))
        photos.append(SeenPhoto(photo.image, xml, photo.told, photo.objects, splits))
    return Survey("voc", root, tuple(photos), None, tuple(findings))


def _images(folder: Path) -> dict[str, Path]:
    """Stem to photo; ``.jpg`` before other suffixes, as the reader looks for them."""
    found = (entry.absolute() for entry in sorted(folder.glob("*")) if entry.suffix.lower() in SUFFIXES)
    by_preference = sorted(found, key=lambda entry: entry.suffix.lower() not in (".jpg", ".jpeg"), reverse=True)
    return {entry.stem: entry for entry in by_preference}


def _lists(folder: Path) -> tuple[dict[str, set[str]], list[Finding]]:
    """List name to stems."""
    lists: dict[str, set[str]] = {}
    findings = []
    for file in sorted(folder.glob("*.txt")):
        stems = Counter(line.split()[0] for line in file.read_text("utf-8", "replace").splitlines() if line.strip())
        findings += [
            Finding("repeated-id", str(file), stem, f"listed {count} times")
            for stem, count in stems.items()
            if count > 1
        ]
        lists[file.stem] = set(stems)
    return lists, findings


def _strays(root: Path, images: dict[str, Path], xmls: dict[str, Path], lists: dict[str, set[str]]) -> list[Finding]:
    """What has no partner."""
    listed = set().union(*lists.values())
    findings = [
        Finding("missing-annotation", str(root / "Annotations" / f"{stem}.xml"), "", "listed, not there")
        for stem in sorted(listed - set(xmls))
    ]
    findings += [
        Finding("unlabelled-photo", str(images[stem]), "", f"no Annotations/{stem}.xml")
        for stem in sorted(set(images) - set(xmls) - listed)
    ]
    if listed:
        findings += [
            Finding("unlisted", str(xmls[stem]), "", "in no list of ImageSets/Main")
            for stem in sorted((set(xmls) & set(images)) - listed)
        ]
    return findings


def _photo(xml: Path, image: Path, findings: list[Finding]) -> SeenPhoto:
    """The photo of one XML file; without objects, and a finding more, where it cannot be read."""
    try:
        page = read_page(xml)
    except UserError as error:
        findings.append(Finding("damaged-annotation", str(xml), "", str(error).removeprefix(f"{xml}: ")))
        page = VocPage(None, ())
    objects = []
    for item in page.objects:
        where = f"object {item.place}"
        if item.name:
            objects.append(SeenObject(where, item.name, item.corners, item.box, item.difficult))
        else:
            findings.append(Finding("damaged-annotation", str(xml), where, "expected a <name>, found none"))
    return SeenPhoto(image.absolute(), xml, page.size, tuple(objects))
