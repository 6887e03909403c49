"""Names of photos in results: what cannot be told apart is refused in every format."""

from __future__ import annotations

from dataclasses import replace

import pytest

from detect.errors import UserError
from detect.inference.listed_images import ListedImages
from detect.inference.result_files import read_results
from detect.inference.result_formats import file_name, write_format
from tests.inference.test_result_files import CLASSES, predictions

READABLE = ("json", "csv", "voc", "yolo")


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        ((), False),
        (("one/a.jpg",), False),
        (("one/a.jpg", "one/b.jpg"), False),
        (("one/a.jpg", "two/a.jpg"), True),
        (("one/a.jpg", "one/a.v1.jpg"), True),
    ],
)
@pytest.mark.parametrize("name", READABLE)
def test_two_names_of_one_photo_are_refused_in_every_format(name, names, refused, tmp_path):
    image = predictions([tmp_path / "one/a.jpg"])[0]
    written = [replace(image, file=str(tmp_path / file)) for file in names]
    path = tmp_path / file_name(name)
    write_format(path, name, written, CLASSES, None)
    given = [file for file in names if not file.endswith("v1.jpg") and not file.startswith("two")]
    images = ListedImages(tuple(str(tmp_path / file) for file in given), ((100, 200),) * len(given), are_photos=True)
    if refused:
        with pytest.raises(
            UserError,
            match=r"expected one (entry|name) for .*one/a\.jpg, found .* after |v1\.jpg: expected one of the 1 images",
        ):
            read_results(path, images)
        return
    assert [len(prediction) for prediction in read_results(path, images).predictions] == [2] * len(given)
