"""Reads detections in COCO's format, with the images and categories to which their ids refer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detect.data.formats import coco_json
from detect.data.formats.mask_json import parse_mask
from detect.data.masks import RleMask, rasterize
from detect.errors import UserError
from detect.evaluation.predictions import FrameTime, Prediction
from detect.inference.coco_ids import coco_ids, images_file, is_coco_images
from detect.inference.result_readers import (
    DetectionRow,
    are_numbers,
    labels_by_name,
    load_coco_results,
    parse_frame,
    parse_tracks,
    to_prediction,
)

if TYPE_CHECKING:  # types.py imports torch, which scoring does not need
    from detect.types import Size


@dataclass(frozen=True)
class CocoListing:
    """The images and categories of a COCO annotation file, by their ids.

    file: that file; files: the names of the images, as the file has them; sizes: (h, w); frames: of those that are
    frames of a video; categories: the names, in the order of the ids.
    """

    file: Path
    files: Mapping[int, str]
    sizes: Mapping[int, Size]
    frames: Mapping[int, FrameTime]
    categories: Mapping[int, str]


def listing_file(results: Path, annotations: Path | None) -> Path:
    """Return the file that has the ids of ``results``: the list that `detect` wrote beside them, else ``annotations``.

    Both number from 1 in many data sets, so that the ids alone do not tell which of the two files they are of.
    """
    beside = images_file(results)
    if annotations is None or (beside.resolve() != annotations.resolve() and is_coco_images(beside)):
        return beside
    return annotations


def describe_listing(results: Path, annotations: Path | None) -> tuple[str, ...]:
    """Return a line if ``results`` have a list of their own, and not the ids of ``annotations``."""
    listing = listing_file(results, annotations)
    if annotations is None or listing == annotations:
        return ()
    return (
        f"{results}: its ids are those of {listing} beside it; if they are those of {annotations}, remove that list",
    )


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
    _require_unique_ids(file, "image", [(image.id, image.name.as_posix()) for image in images])
    _require_unique_ids(file, "category", [(category.id, category.name) for category in categories])
    return CocoListing(
        file=file,
        files={image.id: image.name.as_posix() for image in images},
        sizes={image.id: image.size or (0, 0) for image in images},
        frames={image_id: frame for image_id, frame in frames.items() if frame is not None},
        categories=dict(sorted((category.id, category.name) for category in categories)),
    )


def _require_unique_ids(file: Path, kind: str, names: Sequence[tuple[int, str]]) -> None:
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
    for row in load_coco_results(path, listing.files, listing.categories, listing.file):
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


def renumber_rows(rows: Sequence[dict[str, Any]], listing: CocoListing, annotations: Path) -> list[dict[str, Any]]:
    """Return COCO results with the ids of another annotation file, found by the names of their images and categories.

    Raises UserError for an image or a category that the other file does not have.
    """
    files = {row["image_id"]: listing.files[row["image_id"]] for row in rows}
    names = {row["category_id"]: listing.categories[row["category_id"]] for row in rows}
    ids = coco_ids(annotations, list(files.values()), list(names.values()))
    labels = range(1, len(names) + 1)
    category_ids = dict(zip(names, ids.category_ids_of(labels, list(names.values())), strict=True))
    return [
        {
            **row,
            "image_id": ids.image_ids[files[row["image_id"]]],
            "category_id": category_ids[row["category_id"]],
        }
        for row in rows
    ]


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
