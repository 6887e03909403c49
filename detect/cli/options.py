"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "bf16", "fp16"]
Metric = Literal["coco", "voc07", "voc12"]

Command = TypeVar("Command", bound=Callable[..., Any])

settings = click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Override a setting, e.g. --set train.lr=0.01"
)
device = click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute [default: auto].")
precision = click.option(
    "--precision", type=click.Choice(["fp32", "bf16", "fp16"]), help="What to compute in [default: fp32]."
)


def with_flags(overrides: tuple[str, ...], device: str | None, precision: str | None) -> tuple[str, ...]:
    """--device and --precision as settings; they win over the configuration and over --set."""
    flags = [f"device={device}" if device else "", f"train.precision={precision}" if precision else ""]
    return (*overrides, *(flag for flag in flags if flag))
