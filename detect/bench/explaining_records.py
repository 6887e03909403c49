"""The scores of explanations, photo by photo: appended to a file, so that a run of hours goes on where it was killed.

The first line of the file holds the settings that the scores depend on, each other line those of one photo; a line has
a checksum, and a damaged one is measured again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from detect.bench.explaining_intervals import Values
from detect.bench.explaining_protocols import SIMILARITY_STEPS
from detect.bench.explaining_scores import SEEDS
from detect.bench.gradcam_peer import grad_cam_version
from detect.errors import UserError
from detect.explain.attribution.faithfulness import STEPS
from detect.explain.attribution.options import MethodOptions
from detect.system.checked_lines import checked_line, line_content
from detect.system.files import append_text, complete_lines, require_file, write_text
from detect.version import __version__

Settings = Mapping[str, str | int | float | None]


@dataclass(frozen=True)
class ExplanationSettings:
    """What is measured.

    names: the methods of ours; peers: the classes of pytorch-grad-cam, None for all; score: minimum of the detections
    to explain; min_detections: the photo that completes so many is the last, None to measure all photos;
    num_randomized: photos, the first with a detection, on which maps are compared with those of random weights, and
    those of random methods with their other seeds;
    similarity: whether to run the whole detector for D-RISE's insertion and deletion.
    """

    names: tuple[str, ...]
    options: MethodOptions
    score: float
    peers: tuple[str, ...] | None = None
    min_detections: int | None = None
    num_randomized: int = 0
    similarity: bool = False


@dataclass(frozen=True)
class PhotoScores:
    """The scores of all methods on one photo.

    image: the path below its folder of images; num_detections: that were explained, 0 where none matched an object;
    values: by method and column; failures: why a method gave no map, by method; saliency_cost: seconds of saliency for
    a detection over those of one forward and backward pass; num_unknown: objects with a mask whose class the model does
    not have.
    """

    image: str
    num_detections: int
    values: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    saliency_cost: float | None = None
    num_unknown: int = 0


class ExplanationRecords:
    """The photos that were measured, by file name, in memory and on disk."""

    def __init__(self, file: Path | None, settings: Settings, others: Sequence[Path] = ()) -> None:
        """Read the records of earlier runs; UserError if a file holds something else, which stays as it is.

        file: to which photos are appended, None to keep them in memory alone; others: files that are read only, such
        as those of processes that measured the other photos.
        """
        self._file = file
        self.photos: dict[str, PhotoScores] = {}
        for other in others:
            self._read(require_file(other, "records of `detect bench explain`"), settings)
        if file is not None:
            earlier = self._read(file, settings)
            # Rewritten without the damaged lines, above all the last one of a killed run.
            write_text(file, "".join([checked_line(json.dumps(settings)), *map(_encode, earlier.values())]))

    def _read(self, file: Path, settings: Settings) -> dict[str, PhotoScores]:
        """Return the photos of a file, and keep them with the others."""
        lines = complete_lines(file)
        contents = [content for line in lines if (content := line_content(line)) is not None]
        if file.exists() and file.stat().st_size:
            _require_same_settings(file, contents, settings)
        photos = {scores.image: scores for scores in map(_decode, contents[1:])}
        self.photos |= photos
        return photos

    def add(self, scores: PhotoScores) -> None:
        """Append a photo. Raises RunError if the file cannot be written."""
        self.photos[scores.image] = scores
        if self._file is not None:
            append_text(self._file, _encode(scores))


def describe_settings(model: Path, root: Path, precision: str, settings: ExplanationSettings) -> Settings:
    """Return what the scores of a photo depend on, as the first line of the file; not how many photos there are."""
    return {
        "model": hashlib.sha256(require_file(model, "a model").read_bytes()).hexdigest()[:16],
        "data": root.name,
        "precision": precision,
        "methods": ",".join(settings.names),
        "peers": None if settings.peers is None else ",".join(settings.peers),
        "layer": settings.options.layer,
        "masks": settings.options.masks,
        "score": settings.score,
        "randomized": settings.num_randomized,
        "similarity": settings.similarity,
        "similarity-steps": SIMILARITY_STEPS,
        "seeds": SEEDS,
        "steps": STEPS,
        "grad-cam": grad_cam_version(),
        "version": __version__,
    }


def _require_same_settings(file: Path, contents: list[str], settings: Settings) -> None:
    """Raise UserError unless the first line holds the same settings."""
    earlier = json.loads(contents[0]) if contents else None
    if not isinstance(earlier, dict) or "image" in earlier:
        raise UserError(f"{file}: expected records of `detect bench explain`, or no file, found something else")
    for name in dict.fromkeys([*settings, *earlier]):
        if earlier.get(name) != settings.get(name):
            expected, present = settings.get(name), earlier.get(name)
            raise UserError(f"{file}: expected records with {name} {expected}, found {present}; name another file")


def _encode(scores: PhotoScores) -> str:
    return checked_line(json.dumps(asdict(scores), ensure_ascii=False))


def _decode(content: str) -> PhotoScores:
    record = json.loads(content)
    values = {
        method: {column: tuple(row) for column, row in columns.items()} for method, columns in record["values"].items()
    }
    return PhotoScores(
        image=record["image"],
        num_detections=record["num_detections"],
        values=values,
        failures=record["failures"],
        saliency_cost=record["saliency_cost"],
        num_unknown=record["num_unknown"],
    )
