"""What a resumed run does with settings that were changed since it began."""

from __future__ import annotations

from pathlib import Path

from detect.config import Config
from detect.config.files import dotted_keys
from detect.errors import UserError


def require_same_optimizer(file: Path, before: Config, now: Config) -> None:
    """Raise UserError for another kind of optimizer: it cannot use the state in the checkpoint ``file``."""
    if before.train.optimizer != now.train.optimizer:
        raise UserError(
            f"train.optimizer: expected {before.train.optimizer}, whose state {file} has, found {now.train.optimizer}; "
            "set it back, or begin a new run from the weights (model.init)"
        )


def changed_settings(before: Config, now: Config) -> list[str]:
    """Return a line on the settings that are not those of the checkpoint, which count from here on; none without."""
    old, new = (dict(dotted_keys(config.model_dump(mode="json"))) for config in (before, now))
    changed = [f"{key} {new.get(key)} (before: {old.get(key)})" for key in old | new if old.get(key) != new.get(key)]
    return [f"settings that were changed since the last checkpoint: {', '.join(changed)}"] if changed else []
