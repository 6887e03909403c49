"""What a packaged detector says about itself: license, data, and figures that were measured with it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt, ValidationError

from detect.config.base import ConfigModel, Fraction, Positive, Range
from detect.errors import UserError, did_you_mean, shorten
from detect.system.yaml_files import read_yaml


class Measurement(ConfigModel):
    """Figures of a detector on images that it was not trained on."""

    dataset: str
    """Images that were measured on, such as VOC2007 val."""
    images: PositiveInt
    """Number of these images."""
    metric: Literal["coco", "voc07", "voc12"]
    """Metric of the score: the primary one of `detect eval --metric`."""
    score: Fraction
    """Score, 0 to 1."""
    interval: Range | None = None
    """95% interval of the score, or null."""
    seconds_per_image: Positive | None = None
    """Seconds for an image, or null."""
    machine: str = ""
    """Machine on which the seconds were measured."""


class ModelCard(ConfigModel):
    """What users of a detector must know that its weights do not say."""

    license: str = "not stated"
    """License of the weights."""
    data: str = "not stated"
    """Data of the training, also that of the initial weights, and its terms."""
    measured: Measurement | None = None
    """Figures that were measured with the detector, or null."""


def read_card_file(file: Path) -> ModelCard:
    """Return the model card in a YAML file. Raises UserError, which names the file and the key."""
    return parse_card(read_yaml(file, "a model card"), str(file))


def parse_card(content: object, source: str) -> ModelCard:
    """Return the model card of nested settings. Raises UserError, which starts with ``source``."""
    try:
        return ModelCard.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        known = list((Measurement if len(path) > 1 else ModelCard).model_fields)
        hint = did_you_mean(path[-1], known) or f"; known: {', '.join(known)}"
        raise UserError(f"{source}: {'.'.join(path)}: unknown key{hint}")
    key = "".join(f"{part}." for part in path).removesuffix(".") + (": " if path else "")
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    raise UserError(f"{source}: {key}{message}, found {shorten(first['input'])}")
