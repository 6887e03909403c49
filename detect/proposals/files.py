"""Proposals of a whole data set in one file, with the settings that made them and a hash of each image's bytes.

Our format is an ``.npz`` of flat arrays. The ``.mat`` and ``.json`` of ``listed_proposals.py`` can be read too. A
pickle is refused, because reading one can run any code.
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

from detect.errors import UserError, did_you_mean
from detect.proposals.listed_proposals import read_json, read_mat
from detect.system.files import require_file, require_writable_file, write_bytes
from detect.types import Proposals

Setting = int | float | str | bool | None
_VERSION = 1
_SUFFIXES = (".npz", ".mat", ".json")


@dataclass(frozen=True)
class ProposalFile:
    """N images with T proposals in all; those of image i, best first, are at ``offsets[i]:offsets[i + 1]``.

    files: N names; content_hashes (N,) uint64: ``content_hash`` of each image's bytes, 0 if unknown (.mat, .json);
    offsets (N + 1,) int64; boxes (T, 4), continuous pixels: uint16 if every corner lies on a whole pixel, else float32;
    scores (T,) float32; settings: those that the proposals were made with.
    """

    files: tuple[str, ...]
    content_hashes: NDArray[np.uint64]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.uint16] | NDArray[np.float32]
    scores: NDArray[np.float32]
    settings: Mapping[str, Setting]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Proposals:
        """Return the proposals of image ``index``; their ``source_index`` is the rank in the file."""
        rows = slice(self.offsets[index], self.offsets[index + 1])
        boxes, scores = self.boxes[rows].astype(np.float32), self.scores[rows].copy()
        return Proposals(torch.from_numpy(boxes), torch.from_numpy(scores), torch.arange(len(boxes)))

    def index(self, name: str) -> int:
        """Return the index of the image ``name``; UserError if the file has none of that name."""
        if name not in self._index_by_name:
            raise UserError(f"{name}: expected proposals for it, found none{did_you_mean(name, self.files)}")
        return self._index_by_name[name]

    @cached_property
    def _index_by_name(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.files)}


def content_hash(content: bytes) -> int:
    """Return a 64-bit hash of an image's bytes, never 0."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") or 1


def pack_proposals(
    images: Sequence[tuple[str, int, Proposals]], settings: Mapping[str, Setting] | None = None
) -> ProposalFile:
    """Return the file of a sequence of (file name, content hash or 0, proposals), one for each image."""
    counts = [len(proposals) for _, _, proposals in images]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(p.boxes.float().numpy() for _, _, p in images)])
    return ProposalFile(
        files=tuple(name for name, _, _ in images),
        content_hashes=np.array([key for _, key, _ in images], np.uint64),
        offsets=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
        boxes=compact_boxes(boxes),
        scores=np.concatenate([np.zeros(0, np.float32), *(p.scores.float().numpy() for _, _, p in images)]),
        settings=dict(settings or {}),
    )


def compact_boxes(boxes: NDArray[Any]) -> NDArray[np.uint16] | NDArray[np.float32]:
    """Return boxes (B, 4) as uint16 if every corner lies on a whole pixel, else as float32."""
    if boxes.dtype == np.uint16:
        return boxes
    if not boxes.size or 0 <= boxes.min() <= boxes.max() < 1 << 16:
        rounded = boxes.astype(np.uint16)
        if np.array_equal(rounded, boxes):
            return rounded
    return boxes.astype(np.float32, copy=False)


def require_writable_npz(path: Path) -> None:
    """Raise UserError unless ``write_proposals`` can write a file of this name. Call it before long work."""
    if path.suffix != ".npz":
        raise UserError(f"{path}: expected a name that ends in .npz, found {path.suffix or 'no ending'}")
    require_writable_file(path)


def write_proposals(path: Path, proposals: ProposalFile) -> None:
    """Write an ``.npz`` completely or not at all; equal proposals give equal bytes, whatever the time."""
    require_writable_npz(path)
    header = {"version": _VERSION, "settings": dict(proposals.settings), "files": proposals.files}
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        header=np.frombuffer(json.dumps(header).encode(), np.uint8),
        contents=proposals.content_hashes,
        offsets=proposals.offsets,
        boxes=compact_boxes(proposals.boxes),
        scores=proposals.scores,
    )
    write_bytes(path, stream.getvalue())


def read_proposals(path: Path) -> ProposalFile:
    """Return the proposals of an ``.npz``, ``.mat`` or ``.json`` file; UserError, which states the reason, if it is
    invalid.
    """
    if path.suffix in (".pkl", ".pickle"):
        hint = "load it where you trust it and save a .json list of {file, boxes}"
        raise UserError(
            f"{path}: expected {', '.join(_SUFFIXES)}, found a pickle, which can run code when read: {hint}"
        )
    if path.suffix not in _SUFFIXES:
        raise UserError(
            f"{path}: expected a file that ends in {', '.join(_SUFFIXES)}, found {path.suffix or 'no ending'}"
        )
    require_file(path, "a file of proposals")
    try:
        proposals = _read_npz(path) if path.suffix == ".npz" else _pack_listed(path)
        _check_consistent(proposals)
    except UserError:
        raise
    except Exception as error:  # readers of damaged archives raise nearly any type of exception
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: expected proposals, found a file that does not contain them ({reason})") from error
    if len(set(proposals.files)) < len(proposals.files):
        twice = Counter(proposals.files).most_common(1)[0][0]
        raise UserError(f"{path}: expected each image once, found {twice} twice")
    return proposals


def require_same_image(
    path: Path, proposals: ProposalFile, name: str, image_hash: int, settings: Mapping[str, Setting] | None = None
) -> None:
    """Raise UserError if the proposals of image ``name`` were made from other bytes or with other settings."""
    stored_hash = int(proposals.content_hashes[proposals.index(name)])
    if stored_hash not in (0, image_hash):
        raise UserError(
            f"{path}: stale: {name} has changed since its proposals were made, or is another image; make them again"
        )
    for key, expected in (settings or {}).items():
        if proposals.settings.get(key) != expected:
            raise UserError(
                f"{path}: stale: expected proposals with {key}={expected}, found {proposals.settings.get(key)}"
            )


def _pack_listed(path: Path) -> ProposalFile:
    """Return the proposals of a ``.mat`` or ``.json``, which know neither the images' bytes nor settings."""
    listed = read_mat(path) if path.suffix == ".mat" else read_json(path)
    return pack_proposals([(name, 0, proposals) for name, proposals in listed])


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


def _check_consistent(proposals: ProposalFile) -> None:
    """Raise ValueError if the arrays do not fit together or contain invalid boxes."""
    if proposals.content_hashes.shape != (len(proposals),) or proposals.offsets.shape != (len(proposals) + 1,):
        raise ValueError(
            f"{len(proposals)} files, {proposals.content_hashes.shape} contents and {proposals.offsets.shape} offsets"
        )
    kinds = (
        proposals.content_hashes.dtype.kind
        + proposals.offsets.dtype.kind
        + proposals.boxes.dtype.kind
        + proposals.scores.dtype.kind
    )
    if kinds not in ("uiuf", "uiff"):
        raise ValueError(f"contents, offsets, boxes and scores of the dtype kinds {kinds}")
    if proposals.offsets[0] != 0 or (np.diff(proposals.offsets) < 0).any():
        raise ValueError("offsets that do not increase from 0")
    if proposals.boxes.shape != (proposals.offsets[-1], 4) or proposals.scores.shape != (proposals.offsets[-1],):
        raise ValueError("other numbers of boxes or scores than the offsets state")
    if not (np.isfinite(proposals.boxes).all() and np.isfinite(proposals.scores).all()):
        raise ValueError("numbers that are not finite")
    inverted = int((proposals.boxes[:, 2:] < proposals.boxes[:, :2]).any(1).sum())
    if inverted:
        raise ValueError(f"{inverted} boxes whose ends x2 y2 are before their beginnings x1 y1 (perhaps x y w h)")
