"""Base class and value types of all settings."""

from __future__ import annotations

from os.path import expanduser
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)


def _require_ascending(bounds: tuple[float, float]) -> tuple[float, float]:
    """Return (low, high) if they are in this order, else raise ValueError."""
    if bounds[0] > bounds[1]:
        raise ValueError("expected the lower bound first")
    return bounds


T = TypeVar("T")


def _require_distinct(elements: tuple[T, ...]) -> tuple[T, ...]:
    """Return the elements if no two are equal, else raise ValueError."""
    if len(set(elements)) < len(elements):
        raise ValueError("expected each once")
    return elements


def _refuse_mps(device: object) -> object:
    """Return the device, unless it is Apple's, which torch has and this package was never run on."""
    if device == "mps":
        raise ValueError("expected auto, cpu or cuda: Apple's GPUs are not supported, auto takes the CPU there")
    return device


Fraction = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Range = Annotated[tuple[Fraction, Fraction], AfterValidator(_require_ascending)]
PositiveTuple = Annotated[tuple[Positive, ...], Field(min_length=1)]
DistinctTuple = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(_require_distinct)]
DeltaStds = tuple[Positive, Positive, Positive, Positive]
SliceSide = Annotated[int, Field(ge=32)]  # pixels; smaller ones are typing errors, of which a photo has millions
SliceSize = SliceSide | tuple[SliceSide, SliceSide]
FilePath = Annotated[str, AfterValidator(expanduser)]  # ~ is the user's home: no shell expands it in KEY=~/x or in YAML
Device = Annotated[Literal["auto", "cpu", "cuda"], BeforeValidator(_refuse_mps)]
Precision = Literal["fp32", "bf16", "fp16"]


def _has_booleans(annotation: Any) -> bool:
    """Return whether a type has booleans among its values."""
    return annotation is bool or annotation is Any or any(map(_has_booleans, get_args(annotation)))


class ConfigModel(BaseModel):
    """Base class of all settings: a frozen record that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans_as_numbers(cls, setting: Any, info: ValidationInfo) -> Any:
        """Raise ValueError for a boolean where there is none: pydantic takes true for 1, and YAML reads no as false."""
        settings = setting if isinstance(setting, list | tuple) else [setting]
        if any(isinstance(each, bool) for each in settings):
            field = cls.model_fields[str(info.field_name)]
            if not _has_booleans(field.annotation):
                raise ValueError("expected no true or false (which yes, no, on and off are in YAML too)")
        return setting

    @field_validator("*")
    @classmethod
    def _require_64_bits(cls, setting: Any) -> Any:
        """Raise ValueError for a whole number that neither numpy nor torch can hold."""
        if isinstance(setting, int) and not -(2**63) <= setting < 2**63:
            raise ValueError("expected a whole number of 64 bits")
        return setting
