from __future__ import annotations

from pathlib import Path

import pytest

from detect.data.shapes.sprite import CLASSES
from detect.describe.formats.shapes_captions import read_shapes_captions
from detect.errors import UserError


def test_built_in_captions_are_those_of_the_images_on_disk(shapes_root: Path) -> None:
    captions = read_shapes_captions(shapes_root, "val", seed=3, train=2, val=8)
    assert captions.classes == CLASSES
    assert 0 < len(captions.images) < 8
    assert captions.notes[0].startswith(f"{8 - len(captions.images)} of 8 images of val")
    for index, image in enumerate(captions.images):
        assert len(image.sentences) == 5
        assert captions.files[index].parts[-2:] == tuple(image.name.split("/"))
        height, width, _ = captions.read(index).shape
        assert (image.boxes[:, 2:] <= (width, height)).all()


def test_another_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected train or val"):
        read_shapes_captions(tmp_path, "test", seed=0)
