"""Reads detections in COCO's format, with the images and categories to which their ids refer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detect.data.formats import coco_json
from detect.data.formats.mask_json import parse_mask
from detect.data.masks import RleMask, rasterize
from detect.errors import UserError
from detect.evaluation.predictions import FrameTime, Prediction
from detect.inference.result_readers import (
    DetectionRow,
    are_numbers,
    labels_by_name,
    load_coco_results,
    parse_frame,
    parse_tracks,
    to_prediction,
)
from detect.types import Size


@dataclass(frozen=True)
class CocoListing:
    """The images and categories of a COCO annotation file, by their ids.

    files: the names of the images, as the file has them; sizes: (h, w); frames: of those that are frames of a video;
    categories: the names, in the order of the ids.
    """

    files: Mapping[int, str]
    sizes: Mapping[int, Size]
    frames: Mapping[int, FrameTime]
    categories: Mapping[int, str]


def read_coco_listing(file: Path, results: Path) -> CocoListing:
    """Read the images and categories of ``results``.

    Raises UserError for a file that is missing or has no sizes, and for an id that two images or two categories have.
    """
    if not file.is_file():
        raise UserError(f"{results}: expected its images in {file}, found no such file: --annotations GT.json")
    document = coco_json.load_document(file)
    records = coco_json.get_records(file, document, "images")
    images = [coco_json.parse_image(file, position, record) for position, record in enumerate(records, 1)]
    for image in images:
        if image.size is None:
            raise UserError(f"{file}: image {image.id}: expected width and height, found none")
    frames = {image.id: _listed_frame(record) for image, record in zip(images, records, strict=True)}
    category_records = enumerate(coco_json.get_records(file, document, "categories"), 1)
    categories = [coco_json.parse_category(file, position, record) for position, record in category_records]
    _require_own_ids(file, "image", [(image.id, image.name.as_posix()) for image in images])
    _require_own_ids(file, "category", [(category.id, category.name) for category in categories])
    return CocoListing(
        files={image.id: image.name.as_posix() for image in images},
        sizes={image.id: image.size or (0, 0) for image in images},
        frames={image_id: frame for image_id, frame in frames.items() if frame is not None},
        categories=dict(sorted((category.id, category.name) for category in categories)),
    )


def _require_own_ids(file: Path, kind: str, names: Sequence[tuple[int, str]]) -> None:
    """Raise UserError for an id that two records have: nothing says which of the two a detection is of."""
    first_names: dict[int, str] = {}
    for record_id, name in names:
        if record_id in first_names:
            raise UserError(
                f"{file}: expected an id of its own for each {kind}, found {record_id} for "
                f"{first_names[record_id]} and {name}: number them anew"
            )
        first_names[record_id] = name


def read_coco(path: Path, listing: CocoListing, classes: Sequence[str]) -> list[Prediction]:
    """Read COCO results: a Prediction for each listed image, with masks, frame and tracks where the results have them.

    Raises UserError for another format, for an id that is not listed, and for a category that is none of the classes.
    """
    rows: dict[int, list[dict[str, Any]]] = {image_id: [] for image_id in listing.files}
    for row in load_coco_results(path, listing.files, listing.categories):
        rows[row["image_id"]].append(row)
    labels = labels_by_name(str(path), classes)
    predictions = []
    for image_id, image_rows in rows.items():
        location, size = f"{path}: image {image_id}", listing.sizes[image_id]
        detections = [_parse_row(row, labels(listing.categories[row["category_id"]])) for row in image_rows]
        prediction = replace(
            to_prediction(listing.files[image_id], size, detections),
            masks=_parse_masks(location, image_rows, size),
            frame=_parse_frame(location, image_rows) or listing.frames.get(image_id),
            tracks=parse_tracks(location, image_rows),
        )
        predictions.append(prediction)
    return predictions


def _parse_row(row: Mapping[str, Any], label: int) -> DetectionRow:
    x, y, width, height = row["bbox"]
    return [x, y, x + width, y + height], row["score"], label


def _parse_masks(location: str, rows: Sequence[Mapping[str, Any]], size: Size) -> tuple[RleMask, ...] | None:
    """Return the mask of each detection; None where none has one. Raises UserError where only some have."""
    masks = [parse_mask(location, row.get("segmentation")) for row in rows]
    present = [mask for mask in masks if mask is not None]
    if present and len(present) < len(rows):
        raise UserError(f'{location}: expected "segmentation" in each result or in none')
    return tuple(rasterize(mask, size) for mask in present) if present else None


def _listed_frame(record: Mapping[str, Any]) -> FrameTime | None:
    """Return the frame that a listed image is; None for a photo, whose keys of these names are another program's."""
    match record:
        case {"frame": index, "time": seconds} if type(index) is int and index >= 0 and are_numbers([seconds]):
            return FrameTime(index, float(seconds))
    return None


def _parse_frame(location: str, records: Sequence[Mapping[str, Any]]) -> FrameTime | None:
    """Return the frame that the first result with a frame and a time is of; None for a photo."""
    numbers = ((record["frame"], record["time"]) for record in records if "frame" in record and "time" in record)
    return next((parse_frame(location, index, seconds) for index, seconds in numbers), None)
