"""Options that several commands share, and the values they take."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from detect.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from detect.config import Config

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "bf16", "fp16"]
Metric = Literal["coco", "voc07", "voc12"]
Split = Literal["train", "val"]

Command = TypeVar("Command", bound=Callable[..., Any])

settings = click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Override a setting, e.g. --set train.lr=0.01"
)
device = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Device to compute on [default: auto]."
)
precision = click.option(
    "--precision", type=click.Choice(["fp32", "bf16", "fp16"]), help="Precision to compute in [default: fp32]."
)
train_precision = click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    help="Precision to train in; auto: bf16 where the device has it and the model is quicker in it, else fp32 "
    "[default: of the configuration].",
)
precision_or_auto = click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Precision to compute in; auto: bf16 where the device has it and the model is quicker in it, else fp32.",
)

slice_size = click.option(
    "--slice",
    "slice_size",
    metavar="SIDE|WxH",
    help="Detect in slices of this size too, in pixels of the image, e.g. 640 or 640x480; for small objects in large "
    "images.",
)
slice_overlap = click.option(
    "--overlap", type=click.FloatRange(0, 0.9), metavar="0..0.9", help="Overlap of adjacent slices [default: 0.2]."
)

data_format = click.option(
    "--format",
    "format_",
    type=click.Choice(["voc", "coco", "yolo", "csv", "labelme", "cvat", "label-studio"]),
    help="Format of ROOT [default: detected].",
)
data_images = click.option(
    "--images",
    type=Path,
    metavar="DIR",
    help="COCO, CSV, CVAT, Label Studio: folder of the images [default: the folder of the labels].",
)
data_encoding = click.option(
    "--encoding", metavar="NAME", help="CSV, YOLO: encoding of the files, such as cp1252 [default: UTF-8]."
)


@dataclass(frozen=True)
class ModelArguments:
    """The detector of a command, and how it computes.

    classes: the names whose detections are kept, with commas, or None for all; settings: those of --set and --slice.
    """

    model: Path
    settings: tuple[str, ...]
    device: Device
    precision: Precision | Literal["auto"]
    classes: str | None
    batch_size: int


class ScoreType(click.ParamType):  # type: ignore[type-arg]  # generic in recent versions of click alone
    """A score from 0 to 1, or ``auto``."""

    name = "score"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:  # noqa: ARG002
        """Return what the help shows."""
        return "0..1|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | Literal["auto"]:
        """Return the score as a number, or ``auto``."""
        if value == "auto":
            return "auto"
        return float(click.FloatRange(0, 1).convert(value, param, ctx))


def with_flags(overrides: tuple[str, ...], device: str | None, precision: str | None) -> tuple[str, ...]:
    """Append --device and --precision to the overrides: they win over the configuration and over --set."""
    flags = [f"device={device}" if device else "", f"train.precision={precision}" if precision else ""]
    return (*overrides, *(flag for flag in flags if flag))


def with_slices(overrides: tuple[str, ...], slice_size: str | None, overlap: float | None) -> tuple[str, ...]:
    """Append --slice and --overlap to the overrides. Raises UserError for a size that is not SIDE or WxH in pixels."""
    flags = []
    if slice_size is not None:
        sides = re.fullmatch(r"(\d+)(?:x(\d+))?", slice_size)
        if sides is None:
            raise UserError(
                f"--slice: expected a side in pixels or WIDTHxHEIGHT, as 640 or 640x480, found {slice_size}"
            )
        width, height = sides.groups()
        flags.append(f"model.test_time.slice.size={width if height is None else f'[{width},{height}]'}")
    if overlap is not None:
        flags.append(f"model.test_time.slice.overlap={overlap}")
    return (*overrides, *flags)


def load_settings(config_file: Path | None, overrides: tuple[str, ...]) -> Config:
    """Return the settings of a configuration file, or the built-in defaults for None, with the overrides applied."""
    from detect.config.files import default_config, load_config

    return default_config(overrides) if config_file is None else load_config(config_file, overrides)


def load_data_settings(config_file: Path | None, overrides: tuple[str, ...]) -> Config:
    """Return the settings of ``load_settings`` for a command that reads the data of these settings.

    Raises UserError, also for an override that names a split that the built-in shapes do not have.
    """
    from detect.config.overrides import refuse_splits_of_shapes

    config = load_settings(config_file, overrides)
    refuse_splits_of_shapes(config, overrides)
    return config


def class_labels(names: str | None, classes: tuple[str, ...]) -> tuple[int, ...]:
    """Return the labels (1..K) of a comma-separated list of class names; all labels if ``names`` is None."""
    if names is None:
        return tuple(range(1, len(classes) + 1))
    return tuple(classes.index(name) + 1 for name in require_names("--classes", names, classes, quote='"'))


def require_names(flag: str, text: str, known: Collection[str], quote: str = "") -> tuple[str, ...]:
    """Return the names of a comma-separated list. Raises UserError, with ``flag``, for one that is not ``known``.

    quote: the mark around that name in the message, for names that may have blanks.
    """
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in known:
            raise UserError(
                f"{flag}: expected names among {', '.join(known)}, found {quote}{name}{quote}"
                f"{did_you_mean(name, known)}"
            )
    return names
