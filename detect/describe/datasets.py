"""The data set that the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from detect.config.describe import DescribeDataConfig
from detect.describe.formats.caption_files import CaptionFiles
from detect.describe.formats.coco_captions import read_coco_captions
from detect.describe.formats.flickr8k import read_flickr8k
from detect.describe.formats.shapes_captions import read_shapes_captions


def read_captions(data: DescribeDataConfig, split: Literal["train", "val"]) -> CaptionFiles:
    """Return the photos and sentences of data.train or data.val. Raises UserError."""
    root, name = Path(data.root), data.train if split == "train" else data.val
    images = None if data.images is None else Path(data.images)
    if data.format == "shapes":
        return read_shapes_captions(root, name, data.seed, data.train_images, data.val_images)
    if data.format == "flickr8k":
        return read_flickr8k(root, name, images)
    objects = data.train_objects if split == "train" else data.val_objects
    return read_coco_captions(root, Path(name), None if objects is None else Path(objects), images)
