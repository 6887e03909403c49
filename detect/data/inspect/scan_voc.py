"""Scans a VOC folder to its end, whatever faults it contains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from detect.data.formats.split_names import guess_split
from detect.data.formats.voc import split_folders
from detect.data.formats.voc_xml import VocAnnotation, read_annotation, refuse_cvat
from detect.data.images import is_image
from detect.data.inspect.findings import DatasetFinding
from detect.data.inspect.scan_records import FolderScan, RawImage, RawObject
from detect.errors import UserError
from detect.system.files import require_folder

_XML = "[!.]*.xml"


def scan_voc(root: Path) -> FolderScan:
    """Return every annotation, image and split of ``root``.

    If there is no folder Annotations, XML files are expected beside their images. Raises UserError if there is no
    annotation at all, or one in CVAT's own format.
    """
    refuse_cvat(require_folder(root, "a VOC folder"))
    labels = _first_folder(root, ("Annotations", "annotations"))
    folder = root if labels == root else _first_folder(root, ("JPEGImages", "images"))
    xmls = {
        _relative_stem(xml, labels): xml for xml in sorted(labels.rglob(_XML) if labels == root else labels.glob(_XML))
    }
    if not xmls:
        raise UserError(f"{root}: expected VOC annotations (.xml) in Annotations or beside images, found none")
    images = _images_by_stem(folder, recursive=labels == root)
    splits, findings = _read_splits(root / "ImageSets" / "Main")
    splits |= {name: {stem for stem in xmls if stem.startswith(f"{name}/")} for name in split_folders(root)}
    findings += _unmatched_files(labels, images, xmls, splits)
    image_files = []
    for stem, xml in xmls.items():
        image = _scan_annotation(xml, images.get(stem, folder / f"{stem}.jpg"), findings)
        roles = frozenset(role for name, stems in splits.items() if stem in stems and (role := guess_split(name)))
        image_files.append(replace(image, splits=roles))
    return FolderScan("voc", root, tuple(image_files), None, tuple(findings))


def _first_folder(root: Path, names: Sequence[str]) -> Path:
    """Return the first of the folders that exists, or else ``root`` itself."""
    return next((root / name for name in names if (root / name).is_dir()), root)


def _relative_stem(file: Path, folder: Path) -> str:
    """Return the path below ``folder`` without suffix, which an annotation, its image and the splits share."""
    return file.relative_to(folder).with_suffix("").as_posix()


def _images_by_stem(folder: Path, recursive: bool) -> dict[str, Path]:
    """Return the path of each image by its relative stem.

    recursive: also search the subfolders. Of two images with one stem ``.jpg`` is preferred, as in the reader.
    """
    entries = folder.rglob("*") if recursive else folder.glob("*")
    images = sorted(entry for entry in entries if is_image(entry))
    by_preference = sorted(images, key=lambda entry: entry.suffix.lower() in (".jpg", ".jpeg"))
    return {_relative_stem(entry, folder): entry.absolute() for entry in by_preference}


def _read_splits(folder: Path) -> tuple[dict[str, set[str]], list[DatasetFinding]]:
    """Return split name to the stems of its images, and a finding for each stem that is listed repeatedly."""
    splits: dict[str, set[str]] = {}
    findings = []
    for file in sorted(folder.glob("*.txt")):
        stems = Counter(line.split()[0] for line in file.read_text("utf-8-sig", "replace").splitlines() if line.strip())
        findings += [
            DatasetFinding("repeated-id", str(file), stem, f"listed {count} times")
            for stem, count in stems.items()
            if count > 1
        ]
        splits[file.stem] = set(stems)
    return splits, findings


def _unmatched_files(
    labels: Path, images: dict[str, Path], xmls: dict[str, Path], splits: dict[str, set[str]]
) -> list[DatasetFinding]:
    """Return a finding for each annotation, image or split entry without its counterpart."""
    listed = set().union(*splits.values())
    findings = [
        DatasetFinding("missing-annotation", str(labels / f"{stem}.xml"), "", "listed, but does not exist")
        for stem in sorted(listed - set(xmls))
    ]
    findings += [
        DatasetFinding("unlabelled-image", str(images[stem]), "", f"no {labels / stem}.xml")
        for stem in sorted(set(images) - set(xmls) - listed)
    ]
    if listed:
        findings += [
            DatasetFinding("unlisted", str(xmls[stem]), "", "in no split")
            for stem in sorted((set(xmls) & set(images)) - listed)
        ]
    return findings


def _scan_annotation(xml: Path, image: Path, findings: list[DatasetFinding]) -> RawImage:
    """Return the image of an XML file. If the file cannot be read, there are no objects and one more finding."""
    try:
        annotation = read_annotation(xml)
    except UserError as error:
        findings.append(DatasetFinding("damaged-annotation", str(xml), "", str(error).removeprefix(f"{xml}: ")))
        annotation = VocAnnotation(None, ())
    objects = []
    for instance in annotation.objects:
        location = f"object {instance.index}"
        if instance.name:
            objects.append(
                RawObject(location, instance.name, instance.corners, instance.box, instance.difficult, instance.crowd)
            )
        else:
            findings.append(DatasetFinding("damaged-annotation", str(xml), location, "expected a <name>, found none"))
    return RawImage(image.absolute(), xml, annotation.size, tuple(objects))
