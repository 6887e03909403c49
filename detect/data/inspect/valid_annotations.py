"""Selects from a labelled folder the images and boxes that a model can be trained on."""

from __future__ import annotations

import os
from dataclasses import replace

from detect.data.annotations import Annotations
from detect.data.findings import DatasetFinding
from detect.data.formats.labeled_folder import LabeledFolder
from detect.data.formats.records import LabeledImage, LabeledSet, to_annotations
from detect.data.inspect.image_checks import BROKEN_LINK
from detect.errors import RunError


def valid_annotations(folder: LabeledFolder) -> Annotations:
    """Return every image that can be read, with the boxes that have extent and overlap it. Other boxes are reported.

    The classes are those that the format lists, followed by the other names that occur, sorted. Image ids count from 1.
    Masks are those that the folder was read with.
    Raises RunError if no image is left.
    """
    images = tuple(replace(image, image_id=image_id) for image_id, image in enumerate(readable_images(folder), start=1))
    if not images:
        faults = [finding for finding in folder.findings if finding.is_error]
        first = f": {faults[0].file}: {faults[0].message}" if faults else ""
        raise RunError(f"{folder.root}: expected images, found none of the {len(folder.images)} that are named{first}")
    return to_annotations(LabeledSet(images), folder.classes, masks=True)


def readable_images(folder: LabeledFolder) -> list[LabeledImage]:
    """Return the images that can be read, in the order of ``valid_annotations``."""
    return [image for image in folder.distinct_images if image.size is not None and image.file.is_file()]


def unreadable_findings(folder: LabeledFolder) -> list[DatasetFinding]:
    """Return a finding for each image that exists and cannot be read, and for each link to a file that does not."""
    readable = {image.file for image in readable_images(folder)}
    unreadable = dict.fromkeys(image.file for image in folder.images if image.file not in readable)
    return [
        DatasetFinding("unreadable-image", str(file), "", "")
        if file.is_file()
        else DatasetFinding("missing-image", str(file), "", BROKEN_LINK)
        for file in unreadable
        if os.path.lexists(file)
    ]


def count_skipped(folder: LabeledFolder, annotations: Annotations) -> int:
    """Return the number of images that are not among the ``valid_annotations``.

    They do not exist, cannot be read, or are unlabelled.
    """
    named = {str(image.file) for image in folder.images}
    unlabelled = {finding.file for finding in folder.findings if finding.kind == "unlabelled-image"}
    return len(named) - len(annotations) + len(unlabelled - named)
