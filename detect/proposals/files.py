"""Proposals of a whole data set in one file, with the settings that made them and a key of each image's content.

Ours is an ``.npz`` of flat arrays. Read too are R-CNN's ``.mat`` (cells ``images`` and ``boxes``; y1 x1 y2 x2, 1-based
and inclusive) and ``.json`` (a list of ``{"file", "boxes": [[x1, y1, x2, y2], ...], "scores": [...]}``, continuous
pixels, scores optional). A pickle is refused: reading one can run any code.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detect.errors import UserError, nearest
from detect.system.files import existing_file, place_for_file, read_json_file, write_bytes
from detect.types import Proposals

Setting = int | float | str | bool | None
_VERSION = 1
_SUFFIXES = (".npz", ".mat", ".json")


@dataclass(frozen=True)
class ProposalFile:
    """N images with T proposals in all; those of image i, best first, are at ``offsets[i]:offsets[i + 1]``.

    files: N names; contents (N,) uint64: ``content_key`` of each image's bytes, 0 where it is not known (.mat, .json);
    boxes (T, 4), continuous pixels: uint16 where every corner lies on a whole pixel, else float32; scores (T,) float32;
    settings: what the proposals were made with.
    """

    files: tuple[str, ...]
    contents: NDArray[np.uint64]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.uint16] | NDArray[np.float32]
    scores: NDArray[np.float32]
    settings: Mapping[str, Setting]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Proposals:
        """The proposals of image ``index``; ``source`` is the rank of each."""
        own = slice(self.offsets[index], self.offsets[index + 1])
        boxes, scores = self.boxes[own].astype(np.float32), self.scores[own].copy()
        return Proposals(torch.from_numpy(boxes), torch.from_numpy(scores), torch.arange(len(boxes)))

    def index(self, name: str) -> int:
        """The place of the image ``name``; UserError where there is none."""
        if name not in self._places:
            raise UserError(f"{name}: expected proposals for it, found none{nearest(name, self.files)}")
        return self._places[name]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.files)}


def content_key(content: bytes) -> int:
    """A 64-bit key of an image's bytes, never 0."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") or 1


def pack_proposals(
    images: Sequence[tuple[str, int, Proposals]], settings: Mapping[str, Setting] | None = None
) -> ProposalFile:
    """One record of (file name, content key or 0, proposals) for each image."""
    counts = [len(proposals) for _, _, proposals in images]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(p.boxes.float().numpy() for _, _, p in images)])
    return ProposalFile(
        files=tuple(name for name, _, _ in images),
        contents=np.array([key for _, key, _ in images], np.uint64),
        offsets=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
        boxes=compact(boxes),
        scores=np.concatenate([np.zeros(0, np.float32), *(p.scores.float().numpy() for _, _, p in images)]),
        settings=dict(settings or {}),
    )


def compact(boxes: NDArray[Any]) -> NDArray[np.uint16] | NDArray[np.float32]:
    """Boxes (B, 4) in 16 bits a corner where every corner lies on a whole pixel, else as float32."""
    if boxes.dtype == np.uint16:
        return boxes
    if not boxes.size or 0 <= boxes.min() <= boxes.max() < 1 << 16:
        whole = boxes.astype(np.uint16)
        if np.array_equal(whole, boxes):
            return whole
    return boxes.astype(np.float32, copy=False)


def check_writable(path: Path) -> None:
    """UserError unless ``write_proposals`` can write to a file of this name: to be asked before long work."""
    if path.suffix != ".npz":
        raise UserError(f"{path}: expected a name that ends in .npz, found {path.suffix or 'no ending'}")
    place_for_file(path)


def write_proposals(path: Path, proposals: ProposalFile) -> None:
    """Write an ``.npz`` whole or not at all; equal proposals give equal bytes, whenever they are written."""
    check_writable(path)
    header = {"version": _VERSION, "settings": dict(proposals.settings), "files": proposals.files}
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        header=np.frombuffer(json.dumps(header).encode(), np.uint8),
        contents=proposals.contents,
        offsets=proposals.offsets,
        boxes=compact(proposals.boxes),
        scores=proposals.scores,
    )
    write_bytes(path, stream.getvalue())


def read_proposals(path: Path) -> ProposalFile:
    """Read ``.npz``, ``.mat`` or ``.json``; UserError that says what is wrong with it."""
    if path.suffix in (".pkl", ".pickle"):
        hint = "load it where you trust it and save a .json list of {file, boxes}"
        raise UserError(
            f"{path}: expected {', '.join(_SUFFIXES)}, found a pickle, which can run code when read: {hint}"
        )
    if path.suffix not in _SUFFIXES:
        raise UserError(
            f"{path}: expected a file that ends in {', '.join(_SUFFIXES)}, found {path.suffix or 'no ending'}"
        )
    existing_file(path, "a file of proposals")
    read = {".npz": _read_npz, ".mat": _read_mat, ".json": _read_json_file}[path.suffix]
    try:
        found = read(path)
        _check(found)
    except UserError:
        raise
    except Exception as error:  # the archives' readers raise nearly anything on damaged bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: expected proposals, found a file that does not hold them ({reason})") from error
    if len(set(found.files)) < len(found.files):
        twice = Counter(found.files).most_common(1)[0][0]
        raise UserError(f"{path}: expected each image once, found {twice} twice")
    return found


def check_fresh(
    path: Path, proposals: ProposalFile, name: str, content: int, settings: Mapping[str, Setting] | None = None
) -> None:
    """UserError where the proposals of image ``name`` were made from other bytes or with other settings."""
    known = int(proposals.contents[proposals.index(name)])
    if known not in (0, content):
        raise UserError(
            f"{path}: stale: {name} has changed since its proposals were made, or is another image; make them again"
        )
    for key, wanted in (settings or {}).items():
        if proposals.settings.get(key) != wanted:
            raise UserError(
                f"{path}: stale: expected proposals with {key}={wanted}, found {proposals.settings.get(key)}"
            )


def _read_npz(path: Path) -> ProposalFile:
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
        header = json.loads(arrays["header"].tobytes())
        if header["version"] != _VERSION:
            raise ValueError(f"version {header['version']}, this program reads {_VERSION}")
        return ProposalFile(
            tuple(header["files"]),
            arrays["contents"],
            arrays["offsets"],
            arrays["boxes"],
            arrays["scores"],
            header["settings"],
        )


def _check(found: ProposalFile) -> None:
    """ValueError where the arrays do not fit together or hold what is no box."""
    if found.contents.shape != (len(found),) or found.offsets.shape != (len(found) + 1,):
        raise ValueError(f"{len(found)} files, {found.contents.shape} contents and {found.offsets.shape} offsets")
    kinds = found.contents.dtype.kind + found.offsets.dtype.kind + found.boxes.dtype.kind + found.scores.dtype.kind
    if kinds not in ("uiuf", "uiff"):
        raise ValueError(f"contents, offsets, boxes and scores of the kinds {kinds}")
    if found.offsets[0] != 0 or (np.diff(found.offsets) < 0).any():
        raise ValueError("offsets that do not rise from 0")
    if found.boxes.shape != (found.offsets[-1], 4) or found.scores.shape != (found.offsets[-1],):
        raise ValueError("as many boxes and scores as the offsets say")
    if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
        raise ValueError("numbers that are not finite")


def _read_mat(path: Path) -> ProposalFile:
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError:
        raise UserError(f"{path}: expected scipy, which reads .mat files, found that it is not installed") from None
    try:
        cells = loadmat(io.BytesIO(path.read_bytes()))
    except NotImplementedError:
        raise UserError(f"{path}: expected MATLAB version 7 or older, found 7.3 (HDF5); save it with -v7") from None
    except MatReadError as error:
        raise ValueError(str(error)) from error
    names, boxes = cells["images"].ravel(), cells["boxes"].ravel()
    if len(names) != len(boxes):
        raise ValueError(f"{len(names)} images and {len(boxes)} sets of boxes")
    return pack_proposals(
        [(str(np.ravel(name)[0]), 0, _ranked(_from_matlab(found))) for name, found in zip(names, boxes, strict=True)]
    )


def _from_matlab(boxes: NDArray[Any]) -> NDArray[np.float32]:
    corners = _rows_of_four(boxes.astype(np.float32))[:, [1, 0, 3, 2]]
    corners[:, :2] -= 1
    return corners


def _read_json_file(path: Path) -> ProposalFile:
    images = []
    for entry in read_json_file(path, "a list of images with their boxes"):
        boxes = _rows_of_four(np.array(entry["boxes"], np.float32))
        images.append((str(entry["file"]), 0, _ranked(boxes, entry.get("scores"))))
    return pack_proposals(images)


def _rows_of_four(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 4):
        raise ValueError(f"boxes of the shape {boxes.shape}, not (boxes, 4)")
    return boxes.reshape(-1, 4)


def _ranked(boxes: NDArray[np.float32], scores: Sequence[float] | None = None) -> Proposals:
    """Best first: by ``scores``, else in the order of the file, scored 1, 1/2, 1/3 .. ."""
    if scores is None:
        return Proposals(torch.from_numpy(boxes), 1 / torch.arange(1, len(boxes) + 1))
    order = np.argsort(-np.asarray(scores, np.float32), kind="stable")
    return Proposals(torch.from_numpy(boxes[order]), torch.from_numpy(np.asarray(scores, np.float32)[order]))
