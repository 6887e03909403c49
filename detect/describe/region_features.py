"""The regions of photos with a vector of features each, computed once and then read from files with checksums."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from detect.config.describe import DescribeConfig
from detect.describe.captions import CaptionDataset
from detect.describe.region_extractor import RegionExtractor, build_region_extractor
from detect.describe.regions import RegionFeatures
from detect.errors import UserError
from detect.system import randomness
from detect.system.checksums import load_only_with_checksum, save_with_checksum
from detect.system.progress import show_progress

__all__ = ["RegionFeatures", "extract_features", "features_of"]

PHOTOS_PER_FILE = 100  # a killed run computes no more than these again
_VERSION = 1  # increase it where the same settings give other features
_EXPECTED = "features of regions"


def extract_features(
    config: DescribeConfig, dataset: CaptionDataset, folder: Path, console: Console
) -> list[RegionFeatures]:
    """Return the regions of each photo of a data set, from the files in ``folder`` where they are there.

    A file has the regions of 100 photos. Its name has a hash of the detector, the settings of the features and the
    files of the photos, so that no change of these is missed, and several runs may share a folder. Raises UserError
    for a damaged file, UnreadableImage for a photo that cannot be read.
    """
    return features_of(build_region_extractor(config), dataset, folder, console)


def features_of(
    extractor: RegionExtractor, dataset: CaptionDataset, folder: Path, console: Console
) -> list[RegionFeatures]:
    """Return what ``extract_features`` does, for an extractor that is built already."""
    regions: list[RegionFeatures] = []
    count = len(dataset.images)
    with show_progress(console, "features", count, "photos") as progress:
        for first in range(0, count, PHOTOS_PER_FILE):
            indices = range(first, min(count, first + PHOTOS_PER_FILE))
            stamps = [f"{dataset.images[index].name} {dataset.stamp(index)}" for index in indices]
            key = randomness.hash_key(_VERSION, extractor.identity, *stamps)
            file = folder / f"{first:06d}-{key:016x}.pt"
            if file.is_file():
                regions += _load(file, len(indices))
            else:
                computed = [extractor.extract(dataset.read(index)) for index in indices]
                _save(file, computed)
                regions += computed
            progress.advance(len(indices))
    return regions


def _save(file: Path, photos: Sequence[RegionFeatures]) -> None:
    """Write the regions of photos, completely or not at all; features are numbers of 16 bits already."""
    content = {
        "counts": [len(photo.boxes) for photo in photos],
        "boxes": torch.from_numpy(np.concatenate([photo.boxes for photo in photos])),
        "features": torch.from_numpy(np.concatenate([photo.features for photo in photos])).half(),
        "labels": torch.from_numpy(np.concatenate([photo.labels for photo in photos])),
        "scores": torch.from_numpy(np.concatenate([photo.scores for photo in photos])),
    }
    save_with_checksum(file, content)


def _load(file: Path, num_photos: int) -> list[RegionFeatures]:
    """Return the regions of the photos in a file. Raises UserError if it is damaged."""
    content = load_only_with_checksum(file, _EXPECTED)
    counts = content.get("counts") if isinstance(content, dict) else None
    if counts is None or len(counts) != num_photos:
        raise UserError(f"{file}: expected {_EXPECTED} of {num_photos} photos, found something else; remove it")
    parts = [torch.split(content[name], counts) for name in ("boxes", "features", "labels", "scores")]
    return [
        RegionFeatures(
            boxes=boxes.numpy(), features=features.float().numpy(), labels=labels.numpy(), scores=scores.numpy()
        )
        for boxes, features, labels, scores in zip(*parts, strict=True)
    ]
