"""Opens a labelled folder with the reader of its format. Training, evaluation, inspection and conversion share it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from detect.data.findings import DatasetFinding
from detect.data.formats.annotation_tools import CVAT, LABEL_STUDIO
from detect.data.formats.coco import CocoFolder
from detect.data.formats.csv_files import CsvFolder
from detect.data.formats.detect_format import BoxFormat
from detect.data.formats.label_text import require_encoding
from detect.data.formats.labeled_folder import FolderReader, LabeledFolder
from detect.data.formats.labelme import LabelMeFolder
from detect.data.formats.records import LabeledImage, same_objects
from detect.data.formats.report import Report
from detect.data.formats.sizes import ImageSizes, other_sizes
from detect.data.formats.tool_folder import ToolFolder
from detect.data.formats.voc import VocFolder
from detect.data.formats.yolo import YoloFolder
from detect.errors import UserError
from detect.system.files import require_folder


def open_folder(
    format: BoxFormat,  # noqa: A002 - the name of the setting
    root: Path,
    images: Path | None,
    report: Report,
    sizes: ImageSizes,
    encoding: str | None = None,
    masks: bool = False,
) -> FolderReader:
    """Return the reader of a folder in a format. Raises UserError if there is no such folder.

    images: the folder of the images where one file names them, absolute or in root, None to search for it; report:
    where faults go; sizes: decides on the sizes of images; encoding: of texts (CSV, YOLO) without a byte order mark,
    None for UTF-8; masks: whether to read the objects' masks (all formats but CSV), which takes more time and memory.
    """
    if format == "voc":
        return VocFolder(root, report, sizes, masks)
    if format == "yolo":
        return YoloFolder(root, report, sizes, require_encoding(encoding), masks)
    if format == "labelme":
        return LabelMeFolder(root, report, sizes, masks)
    if format == "cvat":
        return ToolFolder(CVAT, root, images, report, sizes, masks)
    if format == "label-studio":
        return ToolFolder(LABEL_STUDIO, root, images, report, sizes, masks)
    if format == "csv":
        return CsvFolder(root, images, report, sizes, require_encoding(encoding))
    return CocoFolder(root, images, report, sizes, masks)


def list_splits(format: BoxFormat, root: Path, encoding: str | None = None) -> list[str]:  # noqa: A002 - the setting
    """Return the splits of a folder, as ``data.train`` and ``data.val`` name them, without suffixes."""
    return open_folder(format, root, None, Report(), ImageSizes(), encoding).split_names()


def read_folder(
    root: Path,
    format: BoxFormat,  # noqa: A002 - the name of the setting
    images: Path | None,
    report: Report,
    sizes: ImageSizes,
    encoding: str | None = None,
    masks: bool = False,
) -> LabeledFolder:
    """Return all splits of a folder, train first. Raises UserError if there is no split.

    The arguments are those of ``open_folder``.
    """
    if not (format == "coco" and root.is_file()):
        require_folder(root, f"a data set in {format}")
    reader = open_folder(format, root, images, report, sizes, encoding, masks)
    names = sorted(reader.split_names(), key=lambda name: (name != "train", name))
    splits = {name: reader.read_split(name) for name in names}
    unlisted = reader.read_rest()
    if not splits and not unlisted:
        raise UserError(f"{root}: expected images labelled in {format}, found none")
    read = [*(image for part in splits.values() for image in part.images), *unlisted]
    findings = (*report.findings, *_other_objects(read), *([] if sizes.trust_claims else other_sizes(read)))
    return LabeledFolder(format, root, splits, unlisted, tuple(dict.fromkeys(findings)))


def _other_objects(images: Iterable[LabeledImage]) -> Iterator[DatasetFinding]:
    """Yield a finding for each image whose objects are others in a second label file, as COCO's and CSV's can be."""
    first: dict[Path, LabeledImage] = {}
    for image in images:
        other = first.setdefault(image.file, image)
        if other.label_file != image.label_file and not same_objects(other, image):
            counts = f"its {len(image.objects)} objects here are not its {len(other.objects)} in {other.label_file}"
            yield DatasetFinding("other-objects", str(image.label_file), image.name, counts)
