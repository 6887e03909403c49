"""COCO captions (Chen et al. 2015), joined with COCO's boxes where there are any.

annotations/captions_val.json       {"images": [...], "annotations": [{"image_id", "id", "caption"}]}
annotations/instances_val.json      the boxes of the same images, by the same ids
val/                                the photos
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detect.data.annotations import Annotations, DroppedBox, ImageAnnotation
from detect.data.formats.coco import read_coco
from detect.data.formats.coco_json import CocoImage, get_records, load_document, parse_id, parse_image
from detect.describe.captions import CaptionedImage, Mention, Sentence, no_boxes
from detect.describe.formats.caption_files import (
    CaptionFiles,
    count_wordless,
    photo_folder,
    require_photos,
    to_sentence,
)
from detect.describe.formats.coco_nouns import find_nouns
from detect.describe.tokens import tokenize
from detect.errors import UserError, shorten
from detect.system.numbers import format_count


def read_coco_captions(
    root: Path, captions: Path, instances: Path | None = None, images: Path | None = None
) -> CaptionFiles:
    """Return the photos of a file of captions that have one or more, in the order of the file.

    root: the folder of the data set; captions, instances: files in it or with a path of their own, in the current
    folder; instances None: there are no boxes; images: the folder of the photos, None for the one in root that has the
    name of the split, ``val`` for ``captions_val.json``. Mentions are the nouns of ``coco_nouns`` whose class has boxes
    on the photo; crowds are no objects. Sentences without a word, photos without a sentence and objects without a
    usable box are left out and counted. Raises UserError for damaged files, captions of unknown images, and photos that
    are not there.
    """
    file = _in_root(root, captions)
    document = load_document(file)
    records = [
        parse_image(file, index, record) for index, record in enumerate(get_records(file, document, "images"), 1)
    ]
    texts = _read_texts(file, document, {record.id for record in records})
    described = [record for record in records if any(tokenize(text) for text in texts.get(record.id, ()))]
    if not described:
        raise UserError(f"{file}: expected captions of its {len(records)} images, found none")
    split = file.stem.removeprefix("captions_")
    folder = photo_folder(root, images, (split, f"images/{split}", "images"))
    files = [folder / record.name for record in described]
    require_photos(files, file)
    annotations = None if instances is None else read_coco(_in_root(root, instances), folder, None)
    objects = {} if annotations is None else _by_id(annotations)
    classes = () if annotations is None else annotations.classes
    without = len(records) - len(described)
    unlabeled = [record for record in described if annotations is not None and record.id not in objects]
    if unlabeled:
        raise UserError(f"{instances}: expected the image {unlabeled[0].id} of {file} among its images, found none")
    return CaptionFiles(
        classes=classes,
        images=tuple(_to_image(record, texts[record.id], objects.get(record.id), classes) for record in described),
        files=tuple(files),
        notes=(
            *count_wordless([text for part in texts.values() for text in part]),
            *(
                (f"{without} of {len(records)} images of {file.name} have no caption, and are left out",)
                if without
                else ()
            ),
            *(() if annotations is None else _count_dropped(annotations.dropped)),
        ),
    )


def _count_dropped(dropped: Sequence[DroppedBox]) -> tuple[str, ...]:
    """Return the line on objects whose box cannot be used; none where there are none."""
    if not dropped:
        return ()
    return (f"left out, as their box cannot be used: {format_count(len(dropped), 'object')}, the first {dropped[0]}",)


def _in_root(root: Path, file: Path) -> Path:
    """Return a file as the settings name it: in the root, in its folder ``annotations``, or a path of its own."""
    candidates = (root / file, root / "annotations" / file, file)
    return next((candidate for candidate in candidates if candidate.is_file()), root / file)


def _read_texts(file: Path, document: dict[str, Any], image_ids: set[int]) -> dict[int, list[str]]:
    """Return the captions of each image in the order of the file. Raises UserError."""
    texts: dict[int, list[str]] = {}
    for index, record in enumerate(get_records(file, document, "annotations"), start=1):
        location = f"annotation {index}"
        image_id = parse_id(file, location, record, "image_id")
        caption = record.get("caption")
        if not isinstance(caption, str):
            raise UserError(f'{file}: {location}: "caption": expected text, found {shorten(caption)}')
        if image_id not in image_ids:
            raise UserError(f'{file}: {location}: "image_id": expected the id of an image, found {image_id}')
        texts.setdefault(image_id, []).append(caption.strip())
    return texts


def _by_id(annotations: Annotations) -> dict[int, ImageAnnotation]:
    return {int(image_id): annotations[index] for index, image_id in enumerate(annotations.image_ids)}


def _to_image(
    record: CocoImage, texts: list[str], objects: ImageAnnotation | None, classes: tuple[str, ...]
) -> CaptionedImage:
    """Return a photo with its sentences and objects, None for no boxes."""
    boxes, labels = no_boxes(), np.zeros(0, np.int64)
    if objects is not None:
        boxes, labels = objects.boxes[~objects.crowd].astype(np.float32), objects.labels[~objects.crowd]
    return CaptionedImage(
        name=record.name.as_posix(),
        sentences=tuple(_to_sentence(text, boxes, labels, classes) for text in texts if tokenize(text)),
        boxes=boxes,
        labels=labels,
    )


def _to_sentence(text: str, boxes: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Sentence:
    """Return a sentence whose nouns mention the boxes (G, 4) of their class."""
    label_of = {name: label for label, name in enumerate(classes, start=1)}
    mentions = []
    for words, name in find_nouns(tokenize(text)):
        of_class = boxes[labels == label_of.get(name, 0)]
        if len(of_class):
            mentions.append(Mention(words=words, boxes=of_class))
    return to_sentence(text, mentions)
