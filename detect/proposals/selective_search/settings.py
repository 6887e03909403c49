"""The settings of selective search that its boxes depend on: a mode, or a choice of its strategies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from detect.errors import UserError, did_you_mean

SEARCH_VERSION = 1  # increase it if the same settings give other boxes: earlier files are then refused
MODES = ("single", "fast", "quality")
Color = Literal["HSV", "Lab", "rgI", "H", "I", "RGB", "rgb"]
# Color, texture, size and fill, in this order.
Measures = Literal[
    "C", "T", "S", "F", "CT", "CS", "CF", "TS", "TF", "SF", "CTS", "CTF", "CSF", "TSF", "CTSF"
]  # fmt: skip
COLORS: tuple[str, ...] = get_args(Color)
SIMILARITIES: tuple[str, ...] = get_args(Measures)
REFERENCE_WIDTH = 500


@dataclass(frozen=True)
class SearchSettings:
    """The settings that the boxes of an image depend on (see ``selective_search``). Raises UserError for others."""

    mode: str = "fast"
    seed: int = 0
    min_side: float = 20
    resize_to: int | None = None
    min_side_width: int | None = REFERENCE_WIDTH
    colors: tuple[str, ...] | None = None
    similarities: tuple[str, ...] | None = None
    k: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            hint = did_you_mean(str(self.mode), MODES)
            raise UserError(f"mode: expected {', '.join(MODES)}, found {self.mode!r}{hint}")
        for name, width in (("resize_to", self.resize_to), ("min_side_width", self.min_side_width)):
            if width is not None and (not isinstance(width, int) or width < 1):
                raise UserError(f"{name}: expected an integer of at least 1, or None, found {width!r}")
        if not self.min_side >= 0:
            raise UserError(f"min_side: expected 0 or more pixels, found {self.min_side!r}")
        _require_names("colors", self.colors, COLORS)
        _require_names("similarities", self.similarities, SIMILARITIES)
        for scale in self.k or ():
            if not isinstance(scale, int) or scale < 1:
                raise UserError(f"k: expected integers of at least 1, found {scale!r}")
        for name, choice in (("colors", self.colors), ("similarities", self.similarities), ("k", self.k)):
            if choice is not None and (not choice or len(set(choice)) < len(choice)):
                raise UserError(f"{name}: expected at least one, and each once, found {list(choice)}")

    def to_dict(self) -> dict[str, int | float | str | None]:
        """Return the settings as a proposal file stores them; later ones only where they are not the default.

        So files that were made before there was a choice have the same settings as those of the default.
        """
        stored: dict[str, int | float | str | None] = {
            "algorithm": "selective_search",
            "version": SEARCH_VERSION,
            "mode": self.mode,
            "seed": self.seed,
            "min_side": self.min_side,
            "resize_to": self.resize_to,
        }
        if self.min_side_width != REFERENCE_WIDTH:
            stored["min_side_width"] = self.min_side_width
        choices = {"colors": self.colors, "similarities": self.similarities, "k": self.k}
        return stored | {name: ",".join(map(str, choice)) for name, choice in choices.items() if choice is not None}


def _require_names(setting: str, names: Sequence[str] | None, known: Sequence[str]) -> None:
    """Raise UserError for a name that is not known."""
    for name in names or ():
        if name not in known:
            hint = did_you_mean(str(name), known)
            raise UserError(f"{setting}: expected names of {', '.join(known)}, found {name!r}{hint}")
