"""What a graph says about itself: everything beside the graph that detection needs, as JSON in its metadata."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detect.checkpoints.packaged import portable_config
from detect.config import Config
from detect.config.files import parse_config
from detect.config.merge import settings_to_merge
from detect.errors import UserError, first_line
from detect.ops.preprocess import Preprocess
from detect.version import __version__

FORMAT = "detect graph 1"


@dataclass(frozen=True)
class GraphDescription:
    """The settings, class names and preprocessing of a graph, and the names of its outputs, in order.

    weights: the numbers of its weights, ``fp32`` or ``int8``.
    """

    config: Config
    classes: tuple[str, ...]
    preprocess: Preprocess
    outputs: tuple[str, ...]
    weights: str = "fp32"

    def to_json(self) -> str:
        """Return the description as JSON, without the paths of this machine.

        The thresholds, which are a part of the graph, are told for readers that do not know the settings.
        """
        settings = self.config.model.postprocess
        content = {
            "format": FORMAT,
            "version": __version__,
            "classes": list(self.classes),
            "preprocess": dataclasses.asdict(self.preprocess),
            "outputs": list(self.outputs),
            "weights": self.weights,
            "score_threshold": settings.score_threshold,
            "nms_iou": settings.nms_iou,
            "max_detections": settings.max_detections,
            "config": settings_to_merge(portable_config(self.config)),
        }
        return json.dumps(content)


def parse_description(text: str | None, file: Path) -> GraphDescription:
    """Return the description in the metadata of a file. Raises UserError for another text, or none."""
    try:
        content = json.loads(text or "null")
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"{content.get('format') if isinstance(content, dict) else 'none'}")
        return GraphDescription(
            config=parse_config(content["config"], str(file)),
            classes=tuple(map(str, content["classes"])),
            preprocess=_parse_preprocess(content["preprocess"]),
            outputs=tuple(map(str, content["outputs"])),
            weights=str(content["weights"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # a checksum is no proof of who wrote the file
        raise UserError(f"{file}: expected the description of a {FORMAT}, found {first_line(error)}") from None


def _parse_preprocess(fields: dict[str, Any]) -> Preprocess:
    """Return the preprocessing of the fields of ``dataclasses.asdict`` after JSON, which has lists for tuples."""
    settings: dict[str, Any] = {
        name: tuple(field) if isinstance(field, list) else field for name, field in fields.items()
    }
    return Preprocess(**settings)
