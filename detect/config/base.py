"""Base class and value types of all settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _require_ascending(bounds: tuple[float, float]) -> tuple[float, float]:
    """Return (low, high) if they are in this order, else raise ValueError."""
    if bounds[0] > bounds[1]:
        raise ValueError("expected the lower bound first")
    return bounds


def _expand_home(path: str) -> str:
    """Return a path whose ``~`` is the home folder; a shell leaves it in data.root=~/x."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:  # the home of nobody: then it is a name
        return path


Fraction = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Range = Annotated[tuple[Fraction, Fraction], AfterValidator(_require_ascending)]
PositiveTuple = Annotated[tuple[Positive, ...], Field(min_length=1)]
FolderPath = Annotated[str, AfterValidator(_expand_home)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]  # what torch's generators take
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "bf16", "fp16"]


class ConfigModel(BaseModel):
    """Base class of all settings: a frozen record that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
