"""Reads proposals that other programs wrote as a list of images with their boxes.

R-CNN's ``.mat`` has cells ``images`` and ``boxes`` (y1 x1 y2 x2, 1-based and inclusive), and perhaps ``scores``. A
``.json`` is a list of ``{"file", "boxes": [[x1, y1, x2, y2], ...], "scores": [...]}`` in continuous pixels; the scores
are optional. Boxes without scores are in order, best first.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detect.errors import UserError
from detect.system.files import read_json_file
from detect.types import Proposals


def read_mat(path: Path) -> list[tuple[str, Proposals]]:
    """Return the name and the proposals of each image of a ``.mat``, best first.

    Raises UserError without scipy or for MATLAB 7.3, and ValueError, KeyError or others for a file of another content.
    """
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError:
        raise UserError(f"{path}: expected scipy, which reads .mat files, but it is not installed") from None
    try:
        cells = loadmat(io.BytesIO(path.read_bytes()))
    except NotImplementedError:
        raise UserError(f"{path}: expected MATLAB version 7 or older, found 7.3 (HDF5); save it with -v7") from None
    except MatReadError as error:
        raise ValueError(str(error)) from error
    names, boxes = cells["images"].ravel(), cells["boxes"].ravel()
    scores = cells["scores"].ravel() if "scores" in cells else [None] * len(boxes)
    if not len(names) == len(boxes) == len(scores):
        raise ValueError(f"{len(names)} images, {len(boxes)} cells of boxes and {len(scores)} of scores")
    images = []
    for cell, cell_boxes, cell_scores in zip(names, boxes, scores, strict=True):
        name = str(np.ravel(cell)[0])
        image_scores = None if cell_scores is None else np.ravel(cell_scores).tolist()
        images.append((name, _sort_by_score(name, _from_matlab_boxes(cell_boxes), image_scores)))
    return images


def read_json(path: Path) -> list[tuple[str, Proposals]]:
    """Return the name and the proposals of each image of a ``.json``, best first.

    Raises UserError for a file that is no JSON, and ValueError, KeyError or others for one of another content.
    """
    images = []
    for entry in read_json_file(path, "a list of images with their boxes"):
        name, boxes = str(entry["file"]), _as_box_rows(np.array(entry["boxes"], np.float32))
        images.append((name, _sort_by_score(name, boxes, entry.get("scores"))))
    return images


def _from_matlab_boxes(boxes: NDArray[Any]) -> NDArray[np.float32]:
    corners = _as_box_rows(boxes.astype(np.float32))[:, [1, 0, 3, 2]]
    corners[:, :2] -= 1
    return corners


def _as_box_rows(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 4):
        raise ValueError(f"boxes of shape {boxes.shape}, not (boxes, 4)")
    return boxes.reshape(-1, 4)


def _sort_by_score(name: str, boxes: NDArray[np.float32], scores: Sequence[float] | None) -> Proposals:
    """Sort by decreasing ``scores``, or keep the order of the file and score it 1, 1/2, 1/3 and so on."""
    if scores is not None and len(scores) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes and {len(scores)} scores of {name}")
    if scores is None:
        return Proposals(torch.from_numpy(boxes), 1 / torch.arange(1, len(boxes) + 1))
    order = np.argsort(-np.asarray(scores, np.float32), kind="stable")
    return Proposals(torch.from_numpy(boxes[order]), torch.from_numpy(np.asarray(scores, np.float32)[order]))
