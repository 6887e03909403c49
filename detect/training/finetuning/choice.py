"""A setting that was chosen, with its reason."""

from __future__ import annotations

import json
from dataclasses import dataclass

Setting = int | float | str | tuple[float, ...] | tuple[str, ...] | tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Choice:
    """A setting that was chosen: its key, such as ``train.lr``, and why, as a clause for the log."""

    key: str
    setting: Setting
    reason: str

    @property
    def override(self) -> str:
        """The choice as KEY=VALUE, as ``--set`` takes it."""
        return f"{self.key}={json.dumps(self.setting, ensure_ascii=False)}"

    def __str__(self) -> str:
        return f"chosen: {self.override} ({self.reason})"
