"""The built-in shapes with sentences of the grammar."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detect.data.shapes.dataset import CLASSES, draw_scene, prepare_shapes
from detect.describe.captions import CaptionedImage
from detect.describe.formats.caption_files import CaptionFiles
from detect.describe.formats.grammar import MIN_OBJECTS, describe_objects, make_sentences
from detect.errors import UserError
from detect.system import randomness


def read_shapes_captions(root: Path, split: str, seed: int, train: int = 2000, val: int = 300) -> CaptionFiles:
    """Return the images of a split, train or val, that have two objects with phrases of their own, or more.

    root: the folder below which the images are drawn unless they are there (see ``prepare_shapes``); train, val: how
    many images are drawn. About two thirds of the images have sentences. Raises UserError for another split.
    """
    if split not in ("train", "val"):
        raise UserError(f"data.{split}: expected train or val, the splits of shapes, found {split}")
    folder = prepare_shapes(root, seed, train, val)
    images, files = [], []
    count = train if split == "train" else val
    for index in range(count):
        scene = draw_scene(seed, split, index)
        rng = randomness.numpy_generator("describe shapes", seed, split, index)
        sentences = make_sentences(describe_objects(scene), rng)
        if sentences:
            name = f"{split}/{index:05d}.jpg"
            boxes = scene.boxes.astype(np.float32)
            images.append(CaptionedImage(name=name, sentences=sentences, boxes=boxes, labels=scene.labels))
            files.append(folder / name)
    fewer = f"{count - len(images)} of {count} images of {split} have fewer than {MIN_OBJECTS} objects with phrases of"
    return CaptionFiles(
        classes=CLASSES,
        images=tuple(images),
        files=tuple(files),
        notes=(f"{fewer} their own, and are left out",) if len(images) < count else (),
    )
