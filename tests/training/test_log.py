from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from detect.training.log import RunLogger
from detect.training.run_folder import RunFolder


@pytest.mark.parametrize(
    ("batches", "logged"),
    [
        ([], []),
        ([()], []),
        (
            [("a.jpg: other",), (), ("a.jpg: other", "b.jpg: other")],
            [
                "another size than labelled (its boxes are clipped to the image): a.jpg: other",
                "2 images of another size than labelled: detect data inspect",
            ],
        ),
    ],
    ids=["no batch", "none", "two images"],
)
def test_images_of_another_size_are_counted(tmp_path: Path, batches: list[tuple[str, ...]], logged: list[str]) -> None:
    logger = RunLogger(RunFolder(tmp_path), Console(quiet=True), 1, 1.0, ())
    for lines in batches:
        logger.log_other_sizes(lines)
    logger.log_number_of_other_sizes()
    text = logger.folder.log_file.read_text() if logger.folder.log_file.exists() else ""
    assert text.splitlines() == logged
